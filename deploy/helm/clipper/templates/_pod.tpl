{{/* Kinds of processes: `.args` of `clipper process`, the port, and the file whose age is probed. */}}
{{- define "clipper.kinds" -}}
predict: {values: predict, args: [predict], port: 8000, ready: /health/serving, live: /health/live, grace: 60}
console: {values: console, args: [console], port: 8001, ready: /health/console, live: /health/console, grace: 60}
control: {values: control, args: [control], beat: beat-control, grace: 60}
cpu-worker: {values: cpuWorker, args: [worker], beat: beat-cpu-worker, queue: replicas.cpu, grace: 600}
gpu-worker: {values: gpuWorker, args: [worker, --gpu], beat: beat-gpu-worker, queue: replicas.gpu, grace: 600}
{{- end }}

{{- define "clipper.labels" -}}
app.kubernetes.io/name: clipper
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The labels of one kind's pods; `.name` is the kind. */}}
{{- define "clipper.component" -}}
{{ include "clipper.labels" . }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{/* For a list of the context and the part of the name behind the release's. */}}
{{- define "clipper.metadata" -}}
{{- $release := (first .).Release }}
name: {{ compact (list $release.Name (last .)) | join "-" }}
namespace: {{ $release.Namespace }}
labels: {{- include "clipper.labels" (first .) | nindent 2 }}
{{- end }}

{{- define "clipper.skips" -}}
checkov.io/skip1: CKV_K8S_35=every process reads its settings from the environment
checkov.io/skip2: CKV_K8S_43=image.digest pins the image
checkov.io/skip3: CKV_K8S_15=images are immutable by tag or digest; image.pullPolicy is a value
{{- end }}

{{- define "clipper.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{/* What all containers have: the image, the settings, two folders to write to, and no rights. */}}
{{- define "clipper.container" -}}
image: {{ include "clipper.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
envFrom:
  - secretRef: {name: {{ .Values.existingSecret | quote }}}
volumeMounts:
  - {name: state, mountPath: /var/lib/clipper}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{/* A folder of the process' own in each volume: it refuses one that belongs to root. */}}
{{- define "clipper.environment" -}}
{{- $console := printf "%s-console" .Release.Name }}
{{- $hosts := concat .Values.allowedHosts (list "localhost" $console (printf "%s.%s.svc" $console .Release.Namespace)) }}
{{- $settings := dict "CLIPPER_VAR" "/var/lib/clipper/state" "CLIPPER_RUN_DIR" "/tmp/clipper" "CLIPPER_HOST" "0.0.0.0"
  "CLIPPER_PORT" "8000" "CLIPPER_CONSOLE_PORT" "8001" "CLIPPER_CONSOLE_ADDRESS" (printf "tcp:%s:8001" $console)
  "CLIPPER_ADVERTISE_HOST" "auto" "CLIPPER_RETIRE_S" (.Values.retireSeconds | toString)
  "CLIPPER_CPU_SLOTS" (.Values.cpuWorker.slots | toString) "CLIPPER_GPU_SLOTS" (.Values.gpuWorker.slots | toString)
  "CLIPPER_ALLOWED_HOSTS" (join "," $hosts) }}
{{- if and (ne .name "console") .Values.console.persistence.enabled }}
{{- $_ := set $settings "CLIPPER_ARTIFACTS_URL" (printf "http://%s:8001" $console) }}
{{- end }}
{{- range $name, $value := merge (deepCopy .Values.settings) $settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "clipper.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  {{- with .Values.runAsUser }}
  runAsUser: {{ . }}
  runAsGroup: 0
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: state
    {{- if and (eq .name "console") .Values.console.persistence.enabled }}
    persistentVolumeClaim: {claimName: {{ .Release.Name }}-artifacts}
    {{- else }}
    emptyDir: {sizeLimit: {{ .Values.scratchSize }}}
    {{- end }}
  - {name: tmp, emptyDir: {sizeLimit: 1Gi}}
{{- end }}
