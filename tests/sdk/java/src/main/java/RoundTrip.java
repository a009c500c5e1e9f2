// A device in Java with Paho: publishes one message, waits for it and for one command.
//
//     mvn package dependency:copy-dependencies && java -cp 'target/roundtrip.jar:target/dependency/*' RoundTrip

import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import org.eclipse.paho.client.mqttv3.IMqttMessageListener;
import org.eclipse.paho.client.mqttv3.IMqttToken;
import org.eclipse.paho.client.mqttv3.MqttClient;
import org.eclipse.paho.client.mqttv3.MqttConnectOptions;
import org.eclipse.paho.client.mqttv3.persist.MemoryPersistence;

public final class RoundTrip {
    static String env(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }

    public static void main(String[] args) throws Exception {
        String topic = env("MQTT_TOPIC", "topic-1/example");
        String commands = env("MQTT_COMMANDS", "demo/commands");
        int qos = Integer.parseInt(env("MQTT_QOS", "1"));
        String host = env("MQTT_HOST", "127.0.0.1");
        String uri = env("MQTT_TRANSPORT", "tcp").equals("ws")
                ? "ws://" + host + ":" + env("MQTT_WS_PORT", "8083") + "/mqtt"
                : "tcp://" + host + ":" + env("MQTT_PORT", "1883");

        MqttConnectOptions options = new MqttConnectOptions();
        options.setUserName(env("MQTT_USERNAME", "demo"));
        options.setPassword(env("MQTT_PASSWORD", "demo").toCharArray());
        options.setMqttVersion(env("MQTT_VERSION", "3.1.1").equals("3.1")
                ? MqttConnectOptions.MQTT_VERSION_3_1 : MqttConnectOptions.MQTT_VERSION_3_1_1);

        Set<String> waitingFor = ConcurrentHashMap.newKeySet();
        waitingFor.add(topic);
        waitingFor.add(commands);
        CountDownLatch done = new CountDownLatch(1);

        try (MqttClient client = new MqttClient(uri, env("MQTT_CLIENT_ID", "example"), new MemoryPersistence())) {
            client.connect(options);
            IMqttToken granted = client.subscribeWithResponse(
                    new String[] {topic, commands}, new int[] {qos, qos}, new IMqttMessageListener[] {
                        (from, message) -> received(from, message.getPayload(), waitingFor, done),
                        (from, message) -> received(from, message.getPayload(), waitingFor, done),
                    });
            for (int code : granted.getGrantedQos()) {
                if (code > 2) {
                    throw new IllegalStateException("subscription refused");
                }
            }
            System.out.println("subscribed");
            // Returns when the service has acknowledged (QoS 1 and 2), so the message is stored.
            client.publish(topic, env("MQTT_PAYLOAD", "hello").getBytes(StandardCharsets.UTF_8), qos, false);
            System.out.println("published");
            done.await();
            client.disconnect();
        }
    }

    private static void received(String from, byte[] payload, Set<String> waitingFor, CountDownLatch done) {
        System.out.println("received " + from + " " + new String(payload, StandardCharsets.UTF_8));
        waitingFor.remove(from);
        if (waitingFor.isEmpty()) {
            done.countDown();
        }
    }
}
