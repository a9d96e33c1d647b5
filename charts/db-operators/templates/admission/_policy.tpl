{{/*
An update that leaves spec and annotations alone (status, finalizers, labels) hands nothing to an operator that it did
not have. Nobody is exempt otherwise.
*/}}
{{- define "db-operators.meaningfulChange" -}}
- name: spec-or-annotations-change
  expression: >-
    request.operation != 'UPDATE' || object.spec != oldObject.spec ||
    object.metadata.?annotations != oldObject.metadata.?annotations
{{- end }}

{{/* Binds the policy `name` for the whole cluster; `action` is Deny or Warn. */}}
{{- define "db-operators.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "db-operators.chartLabels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [{{ .action }}]
{{- end }}
