//! What deleting an AppDatabase does. Policy Retain and orphaned objects contact no server; policy Delete drops user and
//! database, each only if it is ours and was made by us. Until that is done, the finalizer holds
//! the object and its status says why. The application's Secret stays.

use api_types::names::ORPHAN;
use api_types::{AppDatabase, DeletionPolicy};
use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use operator_runtime::events::EventType;
use sql_client::Statement;

use crate::context::Context;
use crate::error::Error;
use crate::ledger::{self, Kind, Origin, Owner, scripts};
use crate::look::ServerView;
use crate::plan::{Step, drops, standing};
use crate::status::{Outcome, object_ref, report};
use crate::steps::{Runner, StepError};
use crate::target::Target;
use crate::validate::Request;
use crate::{finalizer, gather};

/// Ends the life of an AppDatabase that was asked to go.
pub async fn delete(app: &AppDatabase, ctx: &Context) -> Result<Action, Error> {
    ctx.verified.forget(app);
    if !finalizer::is_set(app) {
        return Ok(Action::await_change());
    }
    if !needs_no_server(app)
        && let Err(error) = drop_ours(app, ctx).await
    {
        report(ctx, app, Outcome::StillThere(&error)).await?;
        return Err(error);
    }
    finalizer::set(ctx, app, false).await?;
    Ok(Action::await_change())
}

/// Whether there is nothing to drop, or nobody wants to.
#[must_use]
pub fn needs_no_server(app: &AppDatabase) -> bool {
    let orphaned = app.annotations().get(ORPHAN).is_some_and(|value| value == "true");
    orphaned || app.spec.deletion_policy == DeletionPolicy::Retain
}

async fn drop_ours(app: &AppDatabase, ctx: &Context) -> Result<(), Error> {
    let Target { server, request, owner, .. } = Target::new(app, ctx, gather::server(ctx, app)?)?;
    let cluster = app.spec.cluster_ref.as_str();
    let mut session = ctx.pools.session(&server).await.map_err(|error| Error::session(cluster, error))?;
    let view = gather::look(&mut session, &request).await.map_err(|error| Error::statement(cluster, error))?;
    let Drops { steps, withdrawals } = drops_of(&request, &owner, &view);
    let note = if steps.is_empty() {
        "nothing on the server was made for this AppDatabase alone, so nothing was dropped".to_owned()
    } else {
        format!("dropped what was made for it: database {}, user {}", request.database, request.application.user)
    };
    let mut runner = Runner::new(&mut session, cluster, &server, &request);
    for step in &steps {
        runner.run(step).await.map_err(StepError::into_error)?;
    }
    for withdrawal in &withdrawals {
        runner.send(withdrawal).await?;
    }
    runner.close().await;
    ctx.events.publish(&object_ref(app), EventType::Normal, "Deleted", "Delete", &note).await;
    Ok(())
}

/// What is to be dropped, and then to be forgotten.
struct Drops {
    steps: Vec<Step>,
    withdrawals: Vec<Statement>,
}

/// What was made, then the claims: a claim outlives what it protects. What was adopted keeps its claim, as if the
/// policy were Retain.
fn drops_of(request: &Request, owner: &Owner, view: &ServerView) -> Drops {
    let created = |kind: &Kind| standing(view, owner, *kind) == Some(Origin::Created);
    let ours: Vec<_> = [Kind::Reader, Kind::User, Kind::Database].into_iter().filter(created).collect();
    let drops = drops(request, view, &ours);
    let goes = |kind: &Kind| drops.iter().any(|(about, _)| about == kind);
    let script = view.script.as_ref().filter(|_| goes(&Kind::Database));
    let withdrawals = script.map(|_| scripts::forget(request, owner)).into_iter();
    let claims = ours.into_iter().filter(goes).map(|kind| ledger::withdraw(request, owner, kind));
    Drops { withdrawals: withdrawals.chain(claims).collect(), steps: drops.into_iter().map(|(_, drop)| drop).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::postgres::Found as Postgres;
    use crate::plan::fixtures::{
        claimed, fulfilled_on_postgres, on_postgres, owner, postgres_request, readable, request, settled,
    };

    fn dropped(view: &ServerView) -> String {
        of(&request("{}"), view)
    }

    fn dropped_on_postgres(view: &ServerView) -> String {
        of(&postgres_request("{}"), view)
    }

    fn of(request: &Request, view: &ServerView) -> String {
        let Drops { steps, withdrawals } = drops_of(request, &owner(), view);
        let statements = steps.iter().map(|step| &step.statement).chain(&withdrawals);
        statements.map(|statement| readable(statement.expose_text())).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_we_made_is_dropped_user_first_and_claims_last() {
        insta::assert_snapshot!(dropped(&settled()), @"
        DROP USER IF EXISTS 'myapp_app'@'%'
        DROP DATABASE IF EXISTS `myapp`
        DELETE FROM `db_concierge`.`ownership` WHERE `kind` = 'user' AND `name` = 'myapp_app' AND `owner` = 'installation/db-concierge/myapp/myapp'
        DELETE FROM `db_concierge`.`ownership` WHERE `kind` = 'database' AND `name` = 'myapp' AND `owner` = 'installation/db-concierge/myapp/myapp'
        ");
    }

    #[test]
    fn what_was_adopted_stays_with_its_claim() {
        let mut view = settled();
        view.claims = vec![
            claimed(Kind::Database, owner().as_str(), Origin::Adopted),
            claimed(Kind::User, owner().as_str(), Origin::Created),
        ];
        insta::assert_snapshot!(dropped(&view), @"
        DROP USER IF EXISTS 'myapp_app'@'%'
        DELETE FROM `db_concierge`.`ownership` WHERE `kind` = 'user' AND `name` = 'myapp_app' AND `owner` = 'installation/db-concierge/myapp/myapp'
        ");
    }

    #[test]
    fn nothing_of_others_or_of_nobody_is_dropped() {
        let mut view = settled();
        view.claims.clear();
        assert_eq!(dropped(&view), "");
        view.claims = vec![claimed(Kind::Database, "i/ns/other/myapp", Origin::Created)];
        assert_eq!(dropped(&view), "");
    }

    #[test]
    fn on_postgresql_the_database_goes_before_the_role_that_owns_it() {
        insta::assert_snapshot!(dropped_on_postgres(&on_postgres(fulfilled_on_postgres())), @r#"
        GRANT "myapp_app" TO CURRENT_USER
        DROP DATABASE IF EXISTS "myapp" WITH (FORCE)
        DROP ROLE IF EXISTS "myapp_app"
        DELETE FROM "concierge"."ownership" WHERE "kind" = 'user' AND "name" = 'myapp_app' AND "owner" = 'installation/db-concierge/myapp/myapp'
        DELETE FROM "concierge"."ownership" WHERE "kind" = 'database' AND "name" = 'myapp' AND "owner" = 'installation/db-concierge/myapp/myapp'
        "#);
        let half = Postgres { database: None, ..fulfilled_on_postgres() };
        insta::assert_snapshot!(dropped_on_postgres(&on_postgres(half)), @r#"
        DROP DATABASE IF EXISTS "myapp" WITH (FORCE)
        DROP ROLE IF EXISTS "myapp_app"
        DELETE FROM "concierge"."ownership" WHERE "kind" = 'user' AND "name" = 'myapp_app' AND "owner" = 'installation/db-concierge/myapp/myapp'
        DELETE FROM "concierge"."ownership" WHERE "kind" = 'database' AND "name" = 'myapp' AND "owner" = 'installation/db-concierge/myapp/myapp'
        "#);
    }

    #[test]
    fn on_postgresql_an_adopted_database_keeps_the_role_that_owns_it() {
        let mut view = on_postgres(fulfilled_on_postgres());
        view.claims[0].origin = Origin::Adopted;
        assert_eq!(dropped_on_postgres(&view), "");
    }

    #[test]
    fn on_postgresql_the_admin_leaves_a_role_that_stays() {
        let mut view = on_postgres(fulfilled_on_postgres());
        view.claims[1].origin = Origin::Adopted;
        insta::assert_snapshot!(dropped_on_postgres(&view), @r#"
        GRANT "myapp_app" TO CURRENT_USER
        DROP DATABASE IF EXISTS "myapp" WITH (FORCE)
        REVOKE "myapp_app" FROM CURRENT_USER
        DELETE FROM "concierge"."ownership" WHERE "kind" = 'database' AND "name" = 'myapp' AND "owner" = 'installation/db-concierge/myapp/myapp'
        "#);
    }
}
