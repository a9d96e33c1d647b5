{{/*
Most templates here take an operator: a dict of
  root    the chart's own scope ($)
  name    the operator's name: Deployment, Service and app.kubernetes.io/name
  values  its part of the values
*/}}

{{- define "db-operators.fullname" -}}
{{ .values.fullnameOverride | default .name }}
{{- end }}

{{- define "db-operators.chartLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: db-operators
{{- end }}

{{- define "db-operators.selectorLabels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "db-operators.labels" -}}
{{ include "db-operators.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{ include "db-operators.chartLabels" .root }}
{{- end }}

{{/* registry/repository:tag, or registry/repository@digest where a digest is given */}}
{{- define "db-operators.image" -}}
{{- $image := .values.image -}}
{{- $common := .root.Values.image -}}
{{- with $common.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ coalesce $image.tag $common.tag .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Name of the ConfigMap with the platform's CA certificates; empty where there is none. Takes the chart's scope. */}}
{{- define "db-operators.trustBundle" -}}
{{- $bundle := .Values.trustBundle -}}
{{- if and $bundle.pem $bundle.configMapName }}
{{- fail "trustBundle.pem and trustBundle.configMapName exclude each other: set one of them" }}
{{- end }}
{{- if $bundle.pem }}{{ .Release.Name }}-trust-bundle{{ else }}{{ $bundle.configMapName }}{{ end }}
{{- end }}
