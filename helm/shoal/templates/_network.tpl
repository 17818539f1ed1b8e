{{/* Parts of network policies. */}}

{{/* Peers of a place: pods of a namespace, addresses, or both. A list for `from` or `to`. */}}
{{- define "shoal.peers" -}}
{{- if .namespace }}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ .namespace }}
  {{- with .podLabels }}
  podSelector:
    matchLabels:
      {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end }}
{{- range .cidrs }}
- ipBlock:
    cidr: {{ . }}
{{- end }}
{{- end -}}

{{/* An item of `egress` to a place, or nothing where none is named: an empty `to` would mean everywhere. */}}
{{- define "shoal.egressTo" -}}
{{- if or .namespace .cidrs }}
- to:
    {{- include "shoal.peers" . | nindent 4 }}
  ports:
    {{- range .ports }}
    - port: {{ int64 . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- end -}}

{{- define "shoal.egressToDns" -}}
{{- with .Values.networkPolicy.dns }}
- to:
    {{- include "shoal.peers" . | nindent 4 }}
  ports:
    {{- range .ports }}
    - port: {{ int64 . }}
      protocol: UDP
    - port: {{ int64 . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- end -}}

{{- define "shoal.inNamespace" -}}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ . }}
{{- end -}}

{{- define "shoal.rayPeers" -}}
- podSelector:
    matchLabels:
      {{- include "shoal.selector" . | nindent 6 }}
    matchExpressions:
      - {key: app.kubernetes.io/component, operator: In, values: [ray-head, ray-worker]}
{{- end -}}
