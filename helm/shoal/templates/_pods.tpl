{{/* What pods are labelled with and where they go. `group` is what values say of one: ray.head, a pool, job.submitter, backend. */}}

{{/* (dict "root" $ "component" "backend" "group" ...). Without versions of the chart: with a new one every pod would be made anew, and jobs end with them. */}}
{{- define "shoal.podMetadata" -}}
labels:
  {{- include "shoal.componentSelector" . | nindent 2 }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  {{- with merge (dict) (.group.podLabels | default dict) (.root.Values.podLabels | default dict) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.group.podAnnotations | default dict) (.root.Values.podAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "shoal.scheduling" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "shoal.account" -}}
{{ .Values.serviceAccount.existing | default (include "shoal.fullname" .) }}
{{- end -}}

{{/* Of its own: KubeRay gives it what the autoscaler may do. */}}
{{- define "shoal.headAccount" -}}
{{ .Values.serviceAccount.existingForHead | default (printf "%s-head" (include "shoal.fullname" .)) }}
{{- end -}}

{{/* Volumes of the user: claims, and the certificates of a CA of one's own. */}}
{{- define "shoal.volumes" -}}
{{- range .Values.storage.volumes }}
- name: {{ .name }}
  persistentVolumeClaim:
    claimName: {{ .claimName }}
    readOnly: {{ .readOnly | default false }}
{{- end }}
{{- with .Values.certificates }}
{{- if .configMap }}
- name: certificates
  configMap:
    name: {{ .configMap }}
    items:
      - key: {{ .key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- end -}}

{{- define "shoal.volumeMounts" -}}
{{- range .Values.storage.volumes }}
- name: {{ .name }}
  mountPath: {{ .mountPath }}
  readOnly: {{ .readOnly | default false }}
{{- end }}
{{- if .Values.certificates.configMap }}
- name: certificates
  mountPath: /etc/shoal/certificates
  readOnly: true
{{- end }}
{{- end -}}
