"""A device in Python with Paho: publishes one message, waits for it and for one command.

    pip install paho-mqtt && python roundtrip.py
"""

import os
import sys

import paho.mqtt.client as mqtt

env = os.environ.get
TOPIC = env("MQTT_TOPIC", "topic-1/example")
COMMANDS = env("MQTT_COMMANDS", "demo/commands")
PAYLOAD = env("MQTT_PAYLOAD", "hello")
QOS = int(env("MQTT_QOS", "1"))
VERSION = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}[env("MQTT_VERSION", "3.1.1")]
TRANSPORT = env("MQTT_TRANSPORT", "tcp")

waiting_for = {TOPIC, COMMANDS}


def say(*words):
    print(*words, flush=True)


def on_connect(client, userdata, flags, reason, properties):
    if reason.is_failure:
        sys.exit(f"connection refused: {reason}")
    client.subscribe([(TOPIC, QOS), (COMMANDS, QOS)])


def on_subscribe(client, userdata, mid, reasons, properties):
    if any(reason.is_failure for reason in reasons):
        sys.exit(f"subscription refused: {reasons}")
    say("subscribed")
    client.publish(TOPIC, PAYLOAD, qos=QOS)


def on_publish(client, userdata, mid, reason, properties):
    # QoS 1 and 2: the service has acknowledged, so the message is stored.
    say("published")


def on_message(client, userdata, message):
    say("received", message.topic, message.payload.decode())
    waiting_for.discard(message.topic)
    if not waiting_for:
        client.disconnect()


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=env("MQTT_CLIENT_ID", "example"),
    protocol=VERSION,
    transport="websockets" if TRANSPORT == "ws" else "tcp",
)
client.username_pw_set(env("MQTT_USERNAME", "demo"), env("MQTT_PASSWORD", "demo"))
client.ws_set_options(path="/mqtt")
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_publish = on_publish
client.on_message = on_message
port = env("MQTT_WS_PORT", "8083") if TRANSPORT == "ws" else env("MQTT_PORT", "1883")
client.connect(env("MQTT_HOST", "127.0.0.1"), int(port))
client.loop_forever()
