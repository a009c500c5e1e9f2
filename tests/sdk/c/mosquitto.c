/* A device in C with libmosquitto: publishes one message, waits for it and for one command.
 *
 *     apt-get install libmosquitto-dev && cc -o mosquitto mosquitto.c -lmosquitto && ./mosquitto
 */
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *topic, *commands, *payload;
static int qos, own, command;

static const char *env(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

static void need(int ok, const char *what, const char *why) {
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what, why);
        exit(1);
    }
}

static void on_connect(struct mosquitto *client, void *user, int code) {
    (void)user;
    need(code == 0, "connection refused", mosquitto_connack_string(code));
    char *filters[2] = {(char *)topic, (char *)commands};
    int rc = mosquitto_subscribe_multiple(client, NULL, 2, filters, qos, 0, NULL);
    need(rc == MOSQ_ERR_SUCCESS, "subscribe", mosquitto_strerror(rc));
}

static void on_subscribe(struct mosquitto *client, void *user, int id, int count, const int *granted) {
    (void)user;
    (void)id;
    for (int i = 0; i < count; i++)
        need(granted[i] <= 2, "subscribe", "refused");
    printf("subscribed\n");
    int rc = mosquitto_publish(client, NULL, topic, (int)strlen(payload), payload, qos, false);
    need(rc == MOSQ_ERR_SUCCESS, "publish", mosquitto_strerror(rc));
}

static void on_publish(struct mosquitto *client, void *user, int id) {
    (void)client;
    (void)user;
    (void)id;
    printf("published\n"); /* QoS 1 and 2: the service has acknowledged, so the message is stored */
}

static void on_message(struct mosquitto *client, void *user, const struct mosquitto_message *message) {
    (void)user;
    printf("received %s %.*s\n", message->topic, message->payloadlen, (char *)message->payload);
    own |= strcmp(message->topic, topic) == 0;
    command |= strcmp(message->topic, commands) == 0;
    if (own && command)
        mosquitto_disconnect(client);
}

int main(void) {
    topic = env("MQTT_TOPIC", "topic-1/example");
    commands = env("MQTT_COMMANDS", "demo/commands");
    payload = env("MQTT_PAYLOAD", "hello");
    qos = atoi(env("MQTT_QOS", "1"));
    const char *version = env("MQTT_VERSION", "3.1.1");
    setvbuf(stdout, NULL, _IOLBF, 0);

    mosquitto_lib_init();
    struct mosquitto *client = mosquitto_new(env("MQTT_CLIENT_ID", "example"), true, NULL);
    need(client != NULL, "mosquitto_new", "failed");
    mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION,
                         strcmp(version, "3.1") == 0   ? MQTT_PROTOCOL_V31
                         : strcmp(version, "5") == 0   ? MQTT_PROTOCOL_V5
                                                       : MQTT_PROTOCOL_V311);
    mosquitto_username_pw_set(client, env("MQTT_USERNAME", "demo"), env("MQTT_PASSWORD", "demo"));
    mosquitto_connect_callback_set(client, on_connect);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_publish_callback_set(client, on_publish);
    mosquitto_message_callback_set(client, on_message);

    int rc = mosquitto_connect(client, env("MQTT_HOST", "127.0.0.1"), atoi(env("MQTT_PORT", "1883")), 60);
    need(rc == MOSQ_ERR_SUCCESS, "connect", mosquitto_strerror(rc));
    while ((rc = mosquitto_loop(client, -1, 1)) == MOSQ_ERR_SUCCESS) {
    }
    need(own && command, "connection lost", mosquitto_strerror(rc));
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    return 0;
}
