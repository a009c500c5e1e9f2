// A cloud application that reads what devices published under a parent topic.
//
//     mvn package dependency:copy-dependencies && java -cp 'target/kafka.jar:target/dependency/*' Consume
//
// KAFKA is host:port of Kafka, TOPIC the parent topic, COUNT ends the program after so many messages.

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

public final class Consume {
    static final ObjectMapper JSON = new ObjectMapper();

    static String env(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }

    public static void main(String[] args) throws IOException {
        long count = Long.parseLong(env("COUNT", String.valueOf(Long.MAX_VALUE)));
        Map<String, Object> settings = Map.of(
                ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, env("KAFKA", "localhost:9092"),
                ConsumerConfig.GROUP_ID_CONFIG, env("GROUP", "example"),
                // A new group starts with the oldest message, and QoS 2 messages are seen exactly once.
                ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
                ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed",
                ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false,
                // A large message is fetched whole in any case; this lets several share one fetch.
                ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, 4 * 1024 * 1024);
        try (Consumer<String, byte[]> consumer =
                new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(env("TOPIC", "topic-1")));
            for (long handled = 0; handled < count; ) {
                for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    handle(record);
                    handled++;
                }
                // After the work, not before: a crash repeats messages and loses none.
                consumer.commitSync();
            }
        }
    }

    static void handle(ConsumerRecord<String, byte[]> record) throws IOException {
        JsonNode message = JSON.readTree(record.value());
        byte[] payload = payload(record, message);
        String shown = payload.length <= 80
                ? new String(payload, UTF_8)
                : "(" + payload.length + " bytes)";
        System.out.printf("%s %s %s %s%n", Instant.ofEpochMilli(message.get("ts").asLong()),
                message.get("clientId").asText(), message.get("topic").asText(), shown);
    }

    /** The bytes that the device published. */
    static byte[] payload(ConsumerRecord<String, byte[]> record, JsonNode message) {
        String text = message.get("payload").asText();
        Header encoding = record.headers().lastHeader("payload-encoding");
        boolean base64 = encoding != null && Arrays.equals(encoding.value(), "base64".getBytes(UTF_8));
        return base64 ? Base64.getDecoder().decode(text) : text.getBytes(UTF_8);
    }
}
