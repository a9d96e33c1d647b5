{{/*
Everything that is the same for every operator: identity, lease, Deployment, Service, disruption budget, ServiceMonitor.
Takes an operator (see _helpers.tpl) that also says
  uid          user and group of the process
  args         its own flags
  trustBundle  whether the platform's CA certificates are mounted
  mounts       further volumes, each with a name, a path and a source; all are mounted read only
*/}}
{{- define "db-operators.operator" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "db-operators.fullname" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "db-operators.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ include "db-operators.fullname" . }}
  labels:
    {{- include "db-operators.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ include "db-operators.fullname" . }}
subjects:
  {{- include "db-operators.subject" . | nindent 2 }}
---
{{ include "db-operators.leaseRole" . }}
---
{{ include "db-operators.deployment" . }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "db-operators.fullname" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "db-operators.labels" . | nindent 4 }}
spec:
  selector:
    {{- include "db-operators.selectorLabels" . | nindent 4 }}
  ports:
    - name: http
      port: 8080
      targetPort: http
{{- if gt (int .values.replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "db-operators.fullname" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "db-operators.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "db-operators.selectorLabels" . | nindent 6 }}
{{- end }}
{{- with .root.Values.monitoring.serviceMonitor }}
{{- if .enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ include "db-operators.fullname" $ }}
  namespace: {{ $.root.Release.Namespace }}
  labels:
    {{- include "db-operators.labels" $ | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "db-operators.selectorLabels" $ | nindent 6 }}
  endpoints:
    - port: http
      path: /metrics
      interval: {{ .interval }}
{{- end }}
{{- end }}
{{- end }}

{{- define "db-operators.subject" -}}
- kind: ServiceAccount
  name: {{ include "db-operators.fullname" . }}
  namespace: {{ .root.Release.Namespace }}
{{- end }}
