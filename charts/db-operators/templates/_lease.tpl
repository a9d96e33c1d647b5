{{/*
Leader election needs one Lease, in the release's namespace only. `create` cannot be bound to a name, and the lease is
replaced whole, at the version that was read: hence update, not patch.
*/}}
{{- define "db-operators.leaseRole" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ include "db-operators.fullname" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "db-operators.labels" . | nindent 4 }}
rules:
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    verbs: [create]
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    resourceNames: [{{ .name }}]
    verbs: [get, update]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ include "db-operators.fullname" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "db-operators.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "db-operators.fullname" . }}
subjects:
  {{- include "db-operators.subject" . | nindent 2 }}
{{- end }}
