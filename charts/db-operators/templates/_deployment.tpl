{{- define "db-operators.deployment" -}}
{{- $values := .values }}
{{- $bundle := ternary (include "db-operators.trustBundle" .root) "" .trustBundle }}
{{- $mounts := .mounts }}
{{- if $bundle }}
{{- $items := list (dict "key" .root.Values.trustBundle.key "path" "ca.crt") }}
{{- $source := dict "configMap" (dict "name" $bundle "items" $items) }}
{{- $mounts = prepend $mounts (dict "name" "trust-bundle" "path" "/etc/db-operators/trust" "source" $source) }}
{{- end }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "db-operators.fullname" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "db-operators.labels" . | nindent 4 }}
spec:
  replicas: {{ $values.replicas }}
  selector:
    matchLabels:
      {{- include "db-operators.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "db-operators.labels" . | nindent 8 }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        kubectl.kubernetes.io/default-container: operator
        {{- if and $bundle .root.Values.trustBundle.pem }}
        checksum/trust-bundle: {{ .root.Values.trustBundle.pem | sha256sum }}
        {{- end }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "db-operators.fullname" . }}
      automountServiceAccountToken: true
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ add (int $values.shutdownTimeout) 10 }}
      securityContext:
        runAsNonRoot: true
        runAsUser: {{ .uid }}
        runAsGroup: {{ .uid }}
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: operator
          image: {{ include "db-operators.image" . }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args:
            - --log-format={{ .root.Values.log.format }}
            - --log-filter={{ .root.Values.log.filter }}
            - --shutdown-timeout={{ int $values.shutdownTimeout }}
            {{- with $values.concurrency }}
            - --concurrency={{ int . }}
            {{- end }}
            {{- if $bundle }}
            - --trust-bundle=/etc/db-operators/trust/ca.crt
            {{- end }}
            {{- with concat .args $values.extraArgs }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          env:
            - name: POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            - name: POD_NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
          ports:
            - name: http
              containerPort: 8080
          livenessProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 20
            timeoutSeconds: 5
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 5
            timeoutSeconds: 5
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          {{- if $mounts }}
          volumeMounts:
            {{- range $mounts }}
            - name: {{ .name }}
              mountPath: {{ .path }}
              readOnly: true
            {{- end }}
          {{- end }}
      {{- if $mounts }}
      volumes:
        {{- range $mounts }}
        - name: {{ .name }}
          {{- toYaml .source | nindent 10 }}
        {{- end }}
      {{- end }}
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.topologySpreadConstraints }}
      topologySpreadConstraints:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
