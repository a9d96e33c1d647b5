use api_types::Privileges::{self, Admin, ReadOnly, ReadWrite, Unknown};

use super::*;

fn rows(lines: &[&str]) -> Vec<Row> {
    lines.iter().map(|line| Row::new(vec![Some((*line).to_owned())])).collect()
}

fn privileges(lines: &[&str]) -> Privileges {
    rights(&rows(lines)).privileges()
}

#[test]
fn every_kind_of_grant_has_its_weight() {
    for (grant, expected) in [
        ("USAGE ON *.*", ReadOnly),
        ("SELECT ON *.*", ReadOnly),
        ("SELECT, SHOW VIEW, EXECUTE ON `orders`.*", ReadOnly),
        ("SELECT (`a`, `b`) ON `orders`.`items`", ReadOnly),
        ("CREATE TEMPORARY TABLES ON `orders`.*", ReadOnly),
        ("EXECUTE ON PROCEDURE `orders`.`p`", ReadOnly),
        ("INSERT ON *.*", ReadWrite),
        ("SELECT, UPDATE ON `ord%`.*", ReadWrite),
        ("DELETE ON `other`.*", ReadWrite),
        ("ALL PRIVILEGES ON `orders`.*", ReadWrite),
        ("SELECT (`a`, `b`), INSERT (`b`) ON `orders`.`items`", ReadWrite),
        ("LOCK TABLES ON `orders`.*", ReadWrite),
        ("ALTER ROUTINE ON FUNCTION `orders`.`f`", ReadWrite),
        ("ALL PRIVILEGES ON *.*", Admin),
        ("FILE ON *.*", Admin),
        ("SELECT, PROCESS ON *.*", Admin),
        ("SUPER ON *.*", Admin),
        ("CREATE USER ON *.*", Admin),
        ("BACKUP_ADMIN,ROLE_ADMIN ON *.*", Admin),
        ("READ_ONLY ADMIN ON *.*", Admin),
        ("SOMETHING NEW ON *.*", Admin),
        ("PROXY ON ''@'%'", Admin),
    ] {
        assert_eq!(privileges(&[&format!("GRANT {grant} TO `ann`@`%`")]), expected, "{grant}");
    }
}

#[test]
fn options_count_and_words_inside_names_do_not() {
    assert_eq!(privileges(&["GRANT SELECT ON `a`.* TO `ann`@`%` WITH GRANT OPTION"]), Admin);
    assert_eq!(privileges(&["GRANT USAGE ON *.* TO `ann`@`%` REQUIRE SSL WITH MAX_USER_CONNECTIONS 3"]), ReadOnly);
    assert_eq!(privileges(&["GRANT SELECT ON ` TO x WITH GRANT OPTION`.* TO `a ON b`@`%`"]), ReadOnly);
    assert_eq!(privileges(&["GRANT SELECT (`) , INSERT (`) ON `a`.`b` TO `ann`@`%`"]), ReadOnly);
    assert_eq!(privileges(&["GRANT SELECT ON `a``, INSERT ON ``b`.* TO `ann`@`%`"]), ReadOnly);
    assert_eq!(
        privileges(&["GRANT SELECT ON *.* TO `ann`@`%`", "REVOKE SELECT ON `mysql`.* FROM `ann`@`%`"]),
        ReadOnly
    );
}

#[test]
fn a_server_with_ansi_quotes_is_understood() {
    let lines = rows(&[r#"GRANT SELECT ON "a".* TO "ann"@"%""#, r#"GRANT "r1"@"%","odd,""name"@"h" TO "ann"@"%""#]);
    let asked = list_grants_of_roles(&lines).unwrap();
    assert_eq!(asked.expose_text(), r#"SHOW GRANTS FOR CURRENT_USER() USING "r1"@"%","odd,""name"@"h""#);
    assert_eq!(
        rights(&rows(&[r#"GRANT INSERT ON "orders"."it`ems" TO "ann"@"%""#])).to_string(),
        "the login can write, by INSERT on \"orders.it`ems\": revoke it, and grant SELECT alone"
    );
    assert_eq!(privileges(&[r#"GRANT "r"; DROP TABLE t TO "b""#]), Unknown);
}

/// As MariaDB 10.11 answered a login with a default role, a role below it, and a role that it has to SET.
const MARIADB: [&str; 9] = [
    "GRANT `r1` TO `ann`@`%`",
    "GRANT USAGE ON *.* TO `ann`@`%` IDENTIFIED BY PASSWORD '*C2AC236FA0959CCA0A5DA90A74AAA76A2735FE84'",
    "GRANT SELECT ON `orders`.* TO `ann`@`%`",
    "GRANT `r2` TO `r1`",
    "GRANT USAGE ON *.* TO `r1`",
    "GRANT USAGE ON *.* TO `r2`",
    "GRANT SELECT ON `orders`.* TO PUBLIC",
    "SET DEFAULT ROLE `r1` FOR `ann`@`%`",
    "GRANT SELECT ON `orders`.`x` TO `r2`",
];

#[test]
fn a_role_of_mariadb_counts_when_it_is_listed_and_is_unknown_when_it_is_not() {
    assert_eq!(privileges(&MARIADB), ReadOnly);
    let with = |line| [&MARIADB[..], &[line]].concat();
    assert_eq!(privileges(&with("GRANT `r3` TO `ann`@`%`")), Unknown);
    assert_eq!(privileges(&with("GRANT UPDATE (`a`) ON `orders`.`x` TO `r2`")), ReadWrite);
    assert_eq!(privileges(&with("GRANT REFERENCES ON `orders`.* TO PUBLIC")), ReadWrite);
    assert_eq!(privileges(&with("GRANT `r2` TO `ann`@`%` WITH ADMIN OPTION")), Admin);
}

#[test]
fn the_roles_of_mysql_are_asked_for_by_name() {
    let lines = rows(&["GRANT SELECT ON `a`.* TO `ann`@`%`", "GRANT `r1`@`%`,`odd,``name`@`h` TO `ann`@`%`"]);
    let asked = list_grants_of_roles(&lines).unwrap();
    assert_eq!(asked.expose_text(), "SHOW GRANTS FOR CURRENT_USER() USING `r1`@`%`,`odd,``name`@`h`");
    assert_eq!(rights(&lines).privileges(), Unknown, "until they are resolved");
    assert_eq!(rights_with_roles(&lines, &lines).privileges(), ReadOnly);
    assert!(list_grants_of_roles(&lines[..1]).is_none());
}

/// As MySQL 8.0.15 answered a login with a role, a mandatory role and one that it may hand on.
const MYSQL: [&str; 4] = [
    "GRANT USAGE ON *.* TO `ann`@`%`",
    "GRANT SELECT, EXECUTE ON `orders`.* TO `ann`@`%`",
    "GRANT UPDATE (`name`) ON `orders`.`items` TO `ann`@`%`",
    "GRANT `r2`@`%`,`rw`@`%` TO `ann`@`%`",
];

#[test]
fn what_only_a_role_gives_is_told_from_what_may_be_the_logins_own() {
    let sentence = |own: &[&str], all: &[&str]| rights_with_roles(&rows(own), &rows(all)).to_string();
    let all = [MYSQL[0], MYSQL[1], "GRANT UPDATE (`name`), DELETE ON `orders`.`items` TO `ann`@`%`", MYSQL[3]];
    assert_eq!(
        sentence(&MYSQL, &all),
        "the login can write, by UPDATE on \"orders.items\", its own or through one of the roles \"r2\", \"rw\": \
         revoke it, and grant SELECT alone"
    );
    let (own, backup) = ([MYSQL[0], "GRANT `r3`@`%` TO `ann`@`%`"], "GRANT BACKUP_ADMIN ON *.* TO `ann`@`%`");
    assert_eq!(
        sentence(&own, &[own[0], backup, own[1]]),
        "the login can administer, by BACKUP_ADMIN on \"*.*\", through role \"r3\": revoke it, and grant SELECT alone"
    );
    assert_eq!(
        sentence(&own, &["GRANT `r3`@`h` TO `ann`@`%` WITH ADMIN OPTION"]),
        "the login can administer, by the ADMIN OPTION of role \"r3@h\": revoke it, and grant SELECT alone"
    );
    let many = ["GRANT `a`@`%`,`b`@`%`,`c`@`%`,`d`@`%`,`e`@`%` TO `ann`@`%`"];
    assert!(sentence(&many, &["GRANT INSERT ON `orders`.* TO `ann`@`%`"]).contains("\"a\", \"b\", \"c\" and 2 more"));
}

#[test]
fn what_is_no_grant_is_neither_run_nor_taken_for_read_only() {
    for line in ["GRANT x; DROP DATABASE a TO `ann`@`%`", "GRANT `a``@`%` TO `b`", "GRANT 'x' TO `b`", "GRANT", ""] {
        let lines = rows(&[line]);
        assert_eq!(rights(&lines).privileges(), Unknown, "{line}");
        assert!(list_grants_of_roles(&lines).is_none(), "{line}");
    }
    assert_eq!(privileges(&[]), Unknown);
}

#[test]
fn the_sentence_names_the_right_and_its_way_but_never_the_login() {
    let sentence = |line: &str| rights(&rows(&[line])).to_string();
    assert_eq!(
        sentence("GRANT SELECT, INSERT ON `orders`.* TO `hunter2`@`%`"),
        "the login can write, by INSERT on \"orders.*\": revoke it, and grant SELECT alone"
    );
    assert_eq!(
        sentence("GRANT FILE ON *.* TO `writers`"),
        "the login can administer, by FILE on \"*.*\", through role \"writers\": revoke it, and grant SELECT alone"
    );
}
