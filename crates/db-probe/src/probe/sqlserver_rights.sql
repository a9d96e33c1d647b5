SELECT N'role', r.name, N'', N'', N'', 1
FROM (VALUES (N'db_owner'), (N'db_securityadmin'), (N'db_accessadmin'), (N'db_backupoperator'), (N'db_ddladmin'),
             (N'db_datawriter')) r(name)
WHERE IS_ROLEMEMBER(r.name) = 1;

SELECT N'database', p.permission_name, N'', N'', N'', 1
FROM sys.fn_my_permissions(NULL, N'DATABASE') p;

SELECT N'owner', N'', N'ROLE', MIN(r.name), h.via, COUNT(*)
FROM sys.database_principals r JOIN <holder> h ON h.principal_id = r.owning_principal_id
WHERE r.type = 'R' AND r.is_fixed_role = 0 AND r.principal_id <> 0
GROUP BY h.via;

SELECT N'owner', N'', N'SCHEMA', MIN(s.name), h.via, COUNT(*)
FROM sys.schemas s JOIN <holder> h ON h.principal_id = s.principal_id
WHERE s.schema_id NOT BETWEEN 2 AND 4 AND s.schema_id < 16384
GROUP BY h.via;

SELECT N'owner', N'', N'OBJECT', MIN(CONCAT(SCHEMA_NAME(o.schema_id), N'.', o.name)), h.via, COUNT(*)
FROM sys.objects o JOIN <holder> h ON h.principal_id = o.principal_id
WHERE o.parent_object_id = 0 AND o.is_ms_shipped = 0
GROUP BY h.via;

SELECT N'grant', CONCAT(p.permission_name, CASE p.state WHEN 'W' THEN N' WITH GRANT OPTION' END), p.class_desc,
       MIN(CASE p.class WHEN 1 THEN CONCAT(OBJECT_SCHEMA_NAME(p.major_id), N'.', OBJECT_NAME(p.major_id))
                        WHEN 3 THEN SCHEMA_NAME(p.major_id)
                        WHEN 4 THEN USER_NAME(p.major_id) END),
       h.via, COUNT(*)
FROM sys.database_permissions p JOIN <holder> h ON h.principal_id = p.grantee_principal_id
WHERE p.state IN ('G', 'W') AND p.major_id >= 0 AND (p.class <> 0 OR p.state = 'W')
  AND 1 = CASE
    WHEN p.class = 1 AND p.minor_id = 0
    THEN COALESCE(HAS_PERMS_BY_NAME(CONCAT(QUOTENAME(OBJECT_SCHEMA_NAME(p.major_id)), N'.',
                                           QUOTENAME(OBJECT_NAME(p.major_id))), N'OBJECT', p.permission_name), 1)
    WHEN p.class = 3
    THEN COALESCE(HAS_PERMS_BY_NAME(QUOTENAME(SCHEMA_NAME(p.major_id)), N'SCHEMA', p.permission_name), 1)
    ELSE 1 END
GROUP BY p.permission_name, p.state, p.class_desc, h.via;
