/* A device in C with Paho: publishes one message, waits for it and for one command.
 *
 *     apt-get install libpaho-mqtt-dev && cc -o paho paho.c -lpaho-mqtt3c && ./paho
 */
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *env(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

static void need(int ok, const char *what, int code) {
    if (!ok) {
        fprintf(stderr, "%s: %d\n", what, code);
        exit(1);
    }
}

int main(void) {
    const char *topic = env("MQTT_TOPIC", "topic-1/example");
    const char *commands = env("MQTT_COMMANDS", "demo/commands");
    const char *payload = env("MQTT_PAYLOAD", "hello");
    int qos = atoi(env("MQTT_QOS", "1"));
    setvbuf(stdout, NULL, _IOLBF, 0);

    char uri[256];
    snprintf(uri, sizeof uri, "tcp://%s:%s", env("MQTT_HOST", "127.0.0.1"), env("MQTT_PORT", "1883"));
    MQTTClient client;
    int rc = MQTTClient_create(&client, uri, env("MQTT_CLIENT_ID", "example"), MQTTCLIENT_PERSISTENCE_NONE, NULL);
    need(rc == MQTTCLIENT_SUCCESS, "create", rc);

    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    options.username = env("MQTT_USERNAME", "demo");
    options.password = env("MQTT_PASSWORD", "demo");
    options.MQTTVersion = strcmp(env("MQTT_VERSION", "3.1.1"), "3.1") == 0 ? MQTTVERSION_3_1 : MQTTVERSION_3_1_1;
    rc = MQTTClient_connect(client, &options);
    need(rc == MQTTCLIENT_SUCCESS, "connection refused", rc);

    char *filters[2] = {(char *)topic, (char *)commands};
    int granted[2] = {qos, qos};
    rc = MQTTClient_subscribeMany(client, 2, filters, granted);
    need(rc == MQTTCLIENT_SUCCESS, "subscription refused", rc);
    need(granted[0] <= 2 && granted[1] <= 2, "subscription refused", granted[0] | granted[1]);
    printf("subscribed\n");

    MQTTClient_deliveryToken token;
    rc = MQTTClient_publish(client, topic, (int)strlen(payload), payload, qos, 0, &token);
    need(rc == MQTTCLIENT_SUCCESS, "publish", rc);
    if (qos > 0) { /* returns when the service has acknowledged, so the message is stored */
        rc = MQTTClient_waitForCompletion(client, token, 60000L);
        need(rc == MQTTCLIENT_SUCCESS, "no acknowledgement", rc);
    }
    printf("published\n");

    int own = 0, command = 0;
    while (!own || !command) {
        char *from = NULL;
        int length = 0;
        MQTTClient_message *message = NULL;
        rc = MQTTClient_receive(client, &from, &length, &message, 1000L);
        need(rc == MQTTCLIENT_SUCCESS || rc == MQTTCLIENT_TOPICNAME_TRUNCATED, "connection lost", rc);
        if (message == NULL)
            continue;
        printf("received %s %.*s\n", from, message->payloadlen, (char *)message->payload);
        own |= strcmp(from, topic) == 0;
        command |= strcmp(from, commands) == 0;
        MQTTClient_freeMessage(&message);
        MQTTClient_free(from);
    }
    MQTTClient_disconnect(client, 1000);
    MQTTClient_destroy(&client);
    return 0;
}
