{{- define "isthmus.name" -}}
{{- if contains "isthmus" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-isthmus" (.Release.Name | trunc 42 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "isthmus.account" -}}
{{ .Values.serviceAccount.name | default (include "isthmus.name" .) }}
{{- end }}

{{- define "isthmus.selector" -}}
app.kubernetes.io/name: isthmus-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "isthmus.labels" -}}
{{ include "isthmus.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "isthmus.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The rights over everything that an instance is made of. */}}
{{- define "isthmus.rules" -}}
- apiGroups: [mqtt.isthmus.dev]
  resources: [mqttinstances, parenttopics, mqttusers]
  verbs: [get, list, watch, patch]
- apiGroups: [mqtt.isthmus.dev]
  resources: [mqttinstances/status, parenttopics/status, mqttusers/status]
  verbs: [patch]
- apiGroups: [mqtt.isthmus.dev]
  resources: [mqttinstances/finalizers, parenttopics/finalizers, mqttusers/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
# Passwords are read, generated ones made; none is ever changed or deleted.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# Where the cluster knows them.
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors, prometheusrules]
  verbs: [get, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
