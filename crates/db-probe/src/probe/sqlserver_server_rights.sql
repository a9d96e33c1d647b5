SELECT N'server role', r.name, N'', N'', N'', 1
FROM (VALUES (N'sysadmin'), (N'securityadmin'), (N'serveradmin'), (N'setupadmin'), (N'processadmin'), (N'diskadmin'),
             (N'dbcreator'), (N'bulkadmin')) r(name)
WHERE IS_SRVROLEMEMBER(r.name) = 1;

SELECT N'server', p.permission_name, N'', N'', N'', 1
FROM sys.fn_my_permissions(NULL, N'SERVER') p;

SELECT N'server grant', CONCAT(p.permission_name, CASE p.state WHEN 'W' THEN N' WITH GRANT OPTION' END), p.class_desc,
       MIN(CASE p.class WHEN 101 THEN SUSER_NAME(p.major_id) END), h.via, COUNT(*)
FROM sys.server_permissions p
JOIN (SELECT principal_id, CASE type WHEN 'R' THEN name ELSE N'' END AS via
      FROM sys.server_principals
      WHERE principal_id IN (2, SUSER_ID()) OR type = 'R' AND IS_SRVROLEMEMBER(name) = 1) h
  ON h.principal_id = p.grantee_principal_id
WHERE p.state IN ('G', 'W') AND (p.class <> 100 OR p.state = 'W')
GROUP BY p.permission_name, p.state, p.class_desc, h.via;
