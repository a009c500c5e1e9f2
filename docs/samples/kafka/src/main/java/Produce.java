// A cloud application that commands devices: produces records to mq2mqtt, a small one and a large one.
//
//     mvn package dependency:copy-dependencies && java -cp 'target/kafka.jar:target/dependency/*' Produce
//
// KAFKA is host:port of Kafka, MQTT_TOPIC where the devices listen, SIZE the bytes of the large record.

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

public final class Produce {
    /** What mq2mqtt takes: 2 MiB and 64 KiB. The producer's own default is 1,048,576 bytes. */
    static final int MAX_REQUEST_SIZE = 2 * 1024 * 1024 + 64 * 1024;

    static String env(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }

    public static void main(String[] args) throws InterruptedException {
        String topic = env("MQTT_TOPIC", "demo/commands");
        int size = Integer.parseInt(env("SIZE", "1050637"));
        Map<String, Object> settings = Map.of(
                ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, env("KAFKA", "localhost:9092"),
                ProducerConfig.MAX_REQUEST_SIZE_CONFIG, MAX_REQUEST_SIZE,
                // acks=all and an idempotent producer are Kafka's defaults: stored once and in order.
                ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, 60_000,
                ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG, 20_000);
        try (Producer<String, byte[]> producer =
                new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            send(producer, command(topic, "go".getBytes(UTF_8)));
            send(producer, command(topic, "x".repeat(size).getBytes(UTF_8)));
        } catch (ExecutionException refused) {
            // Too large, no rights, no Kafka within the time: the device will not get it.
            System.err.println("not sent: " + refused.getCause());
            System.exit(1);
        }
    }

    /** Records with the same key keep their order: the key is whatever must be in order, here the device's topic. */
    static ProducerRecord<String, byte[]> command(String topic, byte[] payload) {
        ProducerRecord<String, byte[]> record = new ProducerRecord<>("mq2mqtt", topic, payload);
        record.headers()
                .add("mqttTopic", topic.getBytes(UTF_8))
                .add("qosLevel", "1".getBytes(UTF_8))
                .add("cleanSession", "false".getBytes(UTF_8));
        return record;
    }

    /** Waits for the answer: send() alone only puts the record into a buffer. */
    static void send(Producer<String, byte[]> producer, ProducerRecord<String, byte[]> record)
            throws InterruptedException, ExecutionException {
        RecordMetadata stored = producer.send(record).get();
        System.out.printf("sent %d bytes: %s%n", record.value().length, stored);
    }
}
