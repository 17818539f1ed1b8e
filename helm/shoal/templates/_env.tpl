{{/* Environment variables. Secrets come by reference, and each pod gets those that it needs. */}}

{{/* (dict "name" "X" "secret" "my-secret" "key" "token") */}}
{{- define "shoal.secretEnv" -}}
- name: {{ .name | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end -}}

{{- define "shoal.env.ray" -}}
- name: RAY_AUTH_MODE
  value: token
{{ include "shoal.secretEnv" (dict "name" "RAY_AUTH_TOKEN" "secret" .Values.ray.auth.existingSecret "key" "auth_token") }}
{{ include "shoal.env.rayOwn" . }}
{{- end -}}

{{/* Without the token: KubeRay gives it to the autoscaler before it adds these, and would name it twice. */}}
{{- define "shoal.env.rayOwn" -}}
- name: RAY_USAGE_STATS_ENABLED
  value: "0"
- name: HOME
  value: /home/shoal
{{- end -}}

{{/* What the chart sets in a Ray pod: (dict "root" $ "head" true "spot" false). */}}
{{- define "shoal.env.rayPod" -}}
{{ include "shoal.env.ray" .root }}
{{- if .spot }}
- name: RAY_NODE_MARKET_TYPE
  value: spot
{{- end }}
{{ include "shoal.env.storage" .root }}
{{ include "shoal.env.models" .root }}
{{ include "shoal.env.certificates" .root }}
{{ include "shoal.env.mlflow" .root }}
{{- if .head }}
{{ include "shoal.env.review" .root }}
{{- if .root.Values.ray.autoscaling.enabled }}
- name: SHOAL_NODE_GROUPS
  value: /etc/shoal/groups/groups.json
{{- end }}
{{- end }}
{{- end -}}

{{/* What the chart sets in the backend. */}}
{{- define "shoal.env.backend" -}}
- name: HOME
  value: /home/shoal
{{ include "shoal.env.storage" . }}
{{ include "shoal.env.models" . }}
{{ include "shoal.env.certificates" . }}
{{ include "shoal.env.review" . }}
{{- end -}}

{{- define "shoal.env.storage" -}}
{{- with .Values.storage.s3 }}
{{- if .enabled }}
{{- with .region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- with .endpoint }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- if .existingSecret }}
{{ include "shoal.secretEnv" (dict "name" "AWS_ACCESS_KEY_ID" "secret" .existingSecret "key" .accessKeyIdKey) }}
{{ include "shoal.secretEnv" (dict "name" "AWS_SECRET_ACCESS_KEY" "secret" .existingSecret "key" .secretAccessKeyKey) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "shoal.env.models" -}}
- name: HF_HUB_OFFLINE
  value: {{ ternary "1" "0" .Values.models.offline | quote }}
- name: TRANSFORMERS_OFFLINE
  value: {{ ternary "1" "0" .Values.models.offline | quote }}
{{- with .Values.models.home }}
- name: HF_HOME
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* OpenSSL's variable is read by Arrow (S3) and httpx (Label Studio, endpoints); requests (MLflow) and boto (its artefacts) have their own. */}}
{{- define "shoal.env.certificates" -}}
{{- if .Values.certificates.configMap }}
{{- range list "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" "AWS_CA_BUNDLE" }}
- name: {{ . }}
  value: /etc/shoal/certificates/ca.crt
{{- end }}
{{- end }}
{{- end -}}

{{- define "shoal.env.mlflow" -}}
{{- with .Values.mlflow }}
{{- if .uri }}
- name: MLFLOW_TRACKING_URI
  value: {{ .uri | quote }}
{{- if .existingSecret }}
{{ include "shoal.secretEnv" (dict "name" "MLFLOW_TRACKING_USERNAME" "secret" .existingSecret "key" .usernameKey) }}
{{ include "shoal.secretEnv" (dict "name" "MLFLOW_TRACKING_PASSWORD" "secret" .existingSecret "key" .passwordKey) }}
{{- end }}
{{- else }}
- name: SHOAL_MLFLOW
  value: "off"
{{- end }}
{{- end }}
{{- end -}}

{{/* What people decide: for the backend, and for the head, where `shoal review` runs as a job. */}}
{{- define "shoal.env.review" -}}
{{- with .Values.database }}
{{- if .existingSecret }}
{{ include "shoal.secretEnv" (dict "name" "SHOAL_DATABASE" "secret" .existingSecret "key" .urlKey) }}
{{- end }}
{{- end }}
{{- with .Values.labelStudio }}
{{- if .existingSecret }}
{{ include "shoal.secretEnv" (dict "name" "LABEL_STUDIO_API_KEY" "secret" .existingSecret "key" .tokenKey) }}
{{- end }}
{{- end }}
{{- with .Values.backend }}
{{- if .enabled }}
{{ include "shoal.secretEnv" (dict "name" "SHOAL_BACKEND_USER" "secret" .auth.existingSecret "key" .auth.usernameKey) }}
{{ include "shoal.secretEnv" (dict "name" "SHOAL_BACKEND_PASSWORD" "secret" .auth.existingSecret "key" .auth.passwordKey) }}
{{- with .auth.picturesKeyKey }}
{{ include "shoal.secretEnv" (dict "name" "SHOAL_PICTURES_KEY" "secret" $.Values.backend.auth.existingSecret "key" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What the user sets: (dict "env" ... "secretEnv" ...). */}}
{{- define "shoal.env.own" -}}
{{- range $name, $value := .env }}
- name: {{ $name | quote }}
  value: {{ include "shoal.text" $value | quote }}
{{- end }}
{{- range $name, $at := .secretEnv }}
{{ include "shoal.secretEnv" (dict "name" $name "secret" $at.secret "key" $at.key) }}
{{- end }}
{{- end -}}

{{/* A value as text. Helm reads whole numbers of files as decimals, and would write a million as 1e+06. */}}
{{- define "shoal.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}
