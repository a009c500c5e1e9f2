// A device with MQTT.js, over TCP or WebSocket: publishes one message, waits for it and for one command.
//
//     npm install mqtt && node mqttjs.mjs

import mqtt from 'mqtt'

const env = (name, otherwise) => process.env[name] ?? otherwise
const topic = env('MQTT_TOPIC', 'topic-1/example')
const commands = env('MQTT_COMMANDS', 'demo/commands')
const qos = Number(env('MQTT_QOS', '1'))
const host = env('MQTT_HOST', '127.0.0.1')
const url = env('MQTT_TRANSPORT', 'tcp') === 'ws'
  ? `ws://${host}:${env('MQTT_WS_PORT', '8083')}/mqtt`
  : `mqtt://${host}:${env('MQTT_PORT', '1883')}`
const version = { 3.1: 3, '3.1.1': 4, 5: 5 }[env('MQTT_VERSION', '3.1.1')]

const client = await mqtt.connectAsync(url, {
  clientId: env('MQTT_CLIENT_ID', 'example'),
  username: env('MQTT_USERNAME', 'demo'),
  password: env('MQTT_PASSWORD', 'demo'),
  protocolVersion: version,
  protocolId: version === 3 ? 'MQIsdp' : 'MQTT'
})

const waitingFor = new Set([topic, commands])
client.on('message', (from, payload) => {
  console.log('received', from, payload.toString())
  waitingFor.delete(from)
  if (waitingFor.size === 0) client.end()
})

const granted = await client.subscribeAsync([topic, commands], { qos })
if (granted.some(({ qos }) => qos > 2)) throw new Error('subscription refused')
console.log('subscribed')

// QoS 1 and 2: resolves when the service has acknowledged, so the message is stored.
await client.publishAsync(topic, env('MQTT_PAYLOAD', 'hello'), { qos })
console.log('published')
