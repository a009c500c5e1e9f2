// A device with Paho JavaScript, the browser's client: publishes one message, waits for it and for one command.
//
//     npm install paho-mqtt ws && node paho.mjs
//
// A browser has WebSocket and localStorage of its own; here the package `ws` and a map stand in.

import { createRequire } from 'node:module'
import WebSocket from 'ws'

const kept = new Map()
globalThis.WebSocket = WebSocket
globalThis.localStorage = {
  getItem: key => kept.get(key) ?? null,
  setItem: (key, value) => kept.set(key, value),
  removeItem: key => kept.delete(key),
  key: n => [...kept.keys()][n],
  get length () { return kept.size }
}
const Paho = createRequire(import.meta.url)('paho-mqtt')

const env = (name, otherwise) => process.env[name] ?? otherwise
const topic = env('MQTT_TOPIC', 'topic-1/example')
const commands = env('MQTT_COMMANDS', 'demo/commands')
const qos = Number(env('MQTT_QOS', '1'))
const fail = what => problem => { console.error(what, problem.errorMessage ?? problem); process.exit(1) }

const client = new Paho.Client(
  env('MQTT_HOST', '127.0.0.1'), Number(env('MQTT_WS_PORT', '8083')), '/mqtt', env('MQTT_CLIENT_ID', 'example'))
const waitingFor = new Set([topic, commands])

client.onMessageArrived = message => {
  console.log('received', message.destinationName, message.payloadString)
  waitingFor.delete(message.destinationName)
  if (waitingFor.size === 0) client.disconnect()
}
// QoS 1 and 2: called when the service has acknowledged, so the message is stored.
client.onMessageDelivered = () => console.log('published')
client.onConnectionLost = lost => { if (lost.errorCode !== 0) fail('connection lost:')(lost) }

const subscribe = (filter, next) =>
  client.subscribe(filter, { qos, onSuccess: next, onFailure: fail('subscription refused:') })

client.connect({
  userName: env('MQTT_USERNAME', 'demo'),
  password: env('MQTT_PASSWORD', 'demo'),
  mqttVersion: env('MQTT_VERSION', '3.1.1') === '3.1' ? 3 : 4,
  mqttVersionExplicit: true,
  onFailure: fail('connection refused:'),
  onSuccess: () => subscribe(topic, () => subscribe(commands, () => {
    console.log('subscribed')
    client.send(topic, env('MQTT_PAYLOAD', 'hello'), qos, false)
  }))
})
