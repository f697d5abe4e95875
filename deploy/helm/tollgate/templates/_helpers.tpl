{{- define "tollgate.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "tollgate.selector" -}}
app.kubernetes.io/name: tollgate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tollgate.labels" -}}
{{ include "tollgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "tollgate.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- define "tollgate.policies" -}}
{{ .Values.policies.existingConfigMap | default (printf "%s-policies" (include "tollgate.name" .)) }}
{{- end }}

{{- define "tollgate.principals" -}}
{{- if .Values.principals.externalSecret.enabled }}{{ include "tollgate.name" . }}-principals
{{- else }}{{ required "principals.existingSecret: name the Secret that holds principals.yaml, or enable principals.externalSecret" .Values.principals.existingSecret }}
{{- end }}
{{- end }}

{{- define "tollgate.locked" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- /* The gate's container, the same in both modes. */ -}}
{{- define "tollgate.container" -}}
name: tollgate
image: {{ include "tollgate.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [run, --config=/etc/tollgate/config/tollgate.yaml]
env:
  - { name: TOLLGATE_CONFIG, value: /etc/tollgate/config/tollgate.yaml }
  {{- $adot := and .Values.telemetry.adot.enabled (eq .Values.mode "gateway") }}
  {{- if or .Values.telemetry.otlpEndpoint $adot }}
  - { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ $adot | ternary "http://127.0.0.1:4317" .Values.telemetry.otlpEndpoint | quote }} }
  - { name: OTEL_EXPORTER_OTLP_PROTOCOL, value: {{ $adot | ternary "grpc" .Values.telemetry.otlpProtocol | quote }} }
  {{- else }}
  - { name: OTEL_TRACES_EXPORTER, value: none }
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - { name: gate, containerPort: 8080 }
  - { name: gate-admin, containerPort: 9901 }
# As a sidecar the gate starts before the server, so this must not ask for it.
startupProbe:
  httpGet: { path: /livez, port: gate-admin }
  periodSeconds: 1
  failureThreshold: 30
livenessProbe:
  httpGet: { path: /livez, port: gate-admin }
  periodSeconds: 10
readinessProbe:
  httpGet: { path: /readyz, port: gate-admin }
  periodSeconds: 2
  failureThreshold: 1
lifecycle:
  preStop:
    exec: { command: [/tollgate, drain, --after={{ .Values.preStopSeconds }}s] }
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "tollgate.locked" . | nindent 2 }}
volumeMounts:
  - { name: tollgate-config, mountPath: /etc/tollgate/config, readOnly: true }
  - { name: tollgate-policies, mountPath: /etc/tollgate/policies, readOnly: true }
{{- end }}

{{- define "tollgate.volumes" -}}
- name: tollgate-config
  configMap: { name: {{ include "tollgate.name" . }}-config }
- name: tollgate-policies
  projected:
    sources:
      - configMap: { name: {{ include "tollgate.policies" . }} }
      - secret: { name: {{ include "tollgate.principals" . }} }
{{- end }}

{{- define "tollgate.yaml" -}}
{{- $gateway := eq .Values.mode "gateway" }}
{{- $url := $gateway | ternary .Values.server.url (.Values.server.url | default "http://127.0.0.1:8000/mcp") }}
{{- $config := deepCopy .Values.config }}
{{- if and $gateway $config.limits_store }}
{{- $replicas := .Values.autoscaling.enabled | ternary .Values.autoscaling.maxReplicas .Values.replicas }}
{{- $_ := set $config "limits_store" (merge $config.limits_store (dict "replicas" (int $replicas))) }}
{{- end }}
{{- $ours := dict
  "servers" (dict .Values.server.name (merge (dict "url" $url) .Values.server.settings))
  "listen" (dict "address" "0.0.0.0:8080")
  "admin" (dict "address" "0.0.0.0:9901")
  "policies" "/etc/tollgate/policies"
  "drain_timeout" (printf "%ds" (int .Values.drainSeconds)) }}
{{- toYaml (mergeOverwrite $config $ours) }}
{{- end }}
