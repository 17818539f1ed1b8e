{{/* Names, labels, image and security: what all resources share. */}}

{{- define "shoal.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name)) -}}
{{- $full | trunc 35 | trimSuffix "-" -}}
{{- end -}}

{{/* Selectors of network policies and monitors. Not app.kubernetes.io/name: KubeRay gives Ray's pods one of its own, and its services ask for it. */}}
{{- define "shoal.selector" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: shoal
{{- end -}}

{{/* (dict "root" $ "component" "backend") */}}
{{- define "shoal.componentSelector" -}}
{{ include "shoal.selector" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "shoal.labels" -}}
{{ include "shoal.componentSelector" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* (dict "root" $ "image" of a pool, whose words count more) */}}
{{- define "shoal.image" -}}
{{- $image := .root.Values.image -}}
{{- $own := .image | default dict -}}
{{- $repository := $own.repository | default $image.repository -}}
{{- $name := ternary (printf "%s/%s" $image.registry $repository) $repository (ne $image.registry "") -}}
{{- $digest := ternary $own.digest $image.digest (or (hasKey $own "digest") (hasKey $own "tag") (hasKey $own "repository")) | default "" -}}
{{- if $digest -}}
{{ printf "%s@%s" $name $digest }}
{{- else -}}
{{ printf "%s:%s" $name ($own.tag | default $image.tag | default .root.Chart.AppVersion) }}
{{- end -}}
{{- end -}}

{{/* What the image's user is: the Dockerfile makes it. */}}
{{- define "shoal.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch # else each start would open files that only their owner may read
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "shoal.securityContext" -}}
runAsNonRoot: true
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "shoal.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
