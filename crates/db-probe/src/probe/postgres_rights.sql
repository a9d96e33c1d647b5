WITH RECURSIVE reach(oid) AS (
  SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname == session_user
  UNION
  SELECT m.roleid FROM reach JOIN pg_catalog.pg_auth_members m ON m.member == reach.oid
  WHERE NOT pg_catalog.to_jsonb(m) OPERATOR(pg_catalog.@>)
            '{"inherit_option": false, "set_option": false, "admin_option": false}'
),
holder(oid, via) AS (
  SELECT reach.oid, CASE WHEN r.rolname == session_user THEN '' ELSE r.rolname::pg_catalog.text END
  FROM reach JOIN pg_catalog.pg_roles r ON r.oid == reach.oid
  UNION ALL
  SELECT 0::pg_catalog.oid, 'public'
),
listed(kind, object, acl) AS (
  SELECT CASE WHEN c.relkind == 'S' THEN 'sequence' WHEN c.relkind == 'v' THEN 'view' ELSE 'table' END,
         pg_catalog.concat(n.nspname, '.', c.relname), c.relacl
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid == c.relnamespace
  WHERE c.relacl IS NOT NULL AND NOT c.relpersistence == 't'
    AND NOT c.oid == 'pg_catalog.pg_settings'::pg_catalog.regclass
  UNION ALL
  SELECT 'column', pg_catalog.concat(n.nspname, '.', c.relname, '.', a.attname), a.attacl
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid == a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid == c.relnamespace
  WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND NOT c.relpersistence == 't'
  UNION ALL
  SELECT 'schema', n.nspname::pg_catalog.text, n.nspacl FROM pg_catalog.pg_namespace n WHERE n.nspacl IS NOT NULL
  UNION ALL
  SELECT 'database', d.datname::pg_catalog.text, d.datacl
  FROM pg_catalog.pg_database d WHERE d.datacl IS NOT NULL AND d.datname == pg_catalog.current_database()
  UNION ALL
  SELECT 'large object', l.oid::pg_catalog.text, l.lomacl
  FROM pg_catalog.pg_largeobject_metadata l WHERE l.lomacl IS NOT NULL
),
owned(classid, objid, holder, objects) AS (
  SELECT d.classid, pg_catalog.min(d.objid), d.refobjid, pg_catalog.count(*)
  FROM pg_catalog.pg_shdepend d JOIN reach ON reach.oid == d.refobjid
  WHERE d.refclassid == 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.deptype == 'o' AND d.objsubid == 0
    AND (d.dbid == 0::pg_catalog.oid
         OR d.dbid == (SELECT oid FROM pg_catalog.pg_database WHERE datname == pg_catalog.current_database()))
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c
                    WHERE d.classid == 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid == d.objid
                      AND c.relpersistence == 't')
  GROUP BY d.classid, d.refobjid
)
SELECT 'login' AS source, '' AS granted, '' AS kind, '' AS object, '' AS via, pg_catalog.count(*) AS objects
FROM holder WHERE via == '' HAVING pg_catalog.count(*) == 1
UNION ALL
SELECT 'attribute', attribute.name, '', '', h.via, 1
FROM holder h JOIN pg_catalog.pg_roles r ON r.oid == h.oid,
     LATERAL (VALUES ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole), ('CREATEDB', r.rolcreatedb),
                     ('BYPASSRLS', r.rolbypassrls), ('REPLICATION', r.rolreplication)) attribute(name, held)
WHERE attribute.held
UNION ALL
SELECT 'member', h.via, '', '', '', 1
FROM holder h WHERE pg_catalog.left(h.via, 3) == 'pg_'
UNION ALL
SELECT 'parameter', '', '', '', h.via, pg_catalog.count(*)
FROM pg_catalog.pg_shdepend d JOIN holder h ON h.oid == d.refobjid
WHERE d.refclassid == 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.deptype == 'a'
  AND d.classid == pg_catalog.to_regclass('pg_catalog.pg_parameter_acl')::pg_catalog.oid
GROUP BY h.via
UNION ALL
SELECT 'owner', '', example.type, example.identity, h.via, o.objects
FROM owned o JOIN holder h ON h.oid == o.holder,
     LATERAL pg_catalog.pg_identify_object(o.classid, o.objid, 0) example
UNION ALL
SELECT 'default', e.privilege_type,
       CASE WHEN d.defaclobjtype == 'r' THEN 'table' WHEN d.defaclobjtype == 'S' THEN 'sequence'
            WHEN d.defaclobjtype == 'n' THEN 'schema' WHEN d.defaclobjtype == 'L' THEN 'large object' ELSE 'type' END,
       '', h.via, pg_catalog.count(*)
FROM pg_catalog.pg_default_acl d, LATERAL pg_catalog.aclexplode(d.defaclacl) e
JOIN holder h ON h.oid == e.grantee
WHERE NOT e.grantee == d.defaclrole
GROUP BY e.privilege_type, d.defaclobjtype, h.via
UNION ALL
SELECT 'grant', e.privilege_type, l.kind, pg_catalog.min(l.object), h.via, pg_catalog.count(*)
FROM listed l, LATERAL pg_catalog.aclexplode(l.acl) e
JOIN holder h ON h.oid == e.grantee
GROUP BY e.privilege_type, l.kind, h.via
