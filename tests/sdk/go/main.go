// A device in Go with Paho: publishes one message, waits for it and for one command.
//
//	go run .
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

func env(name, otherwise string) string {
	if value, ok := os.LookupEnv(name); ok {
		return value
	}
	return otherwise
}

// done waits for the service's answer and ends the program when there is none.
func done(token mqtt.Token) {
	if token.Wait() && token.Error() != nil {
		log.Fatal(token.Error())
	}
}

func main() {
	topic := env("MQTT_TOPIC", "topic-1/example")
	commands := env("MQTT_COMMANDS", "demo/commands")
	level, err := strconv.Atoi(env("MQTT_QOS", "1"))
	if err != nil {
		log.Fatal("MQTT_QOS: ", err)
	}
	qos := byte(level)

	address := "tcp://" + env("MQTT_HOST", "127.0.0.1") + ":" + env("MQTT_PORT", "1883")
	if env("MQTT_TRANSPORT", "tcp") == "ws" {
		address = "ws://" + env("MQTT_HOST", "127.0.0.1") + ":" + env("MQTT_WS_PORT", "8083") + "/mqtt"
	}
	options := mqtt.NewClientOptions().
		AddBroker(address).
		SetClientID(env("MQTT_CLIENT_ID", "example")).
		SetUsername(env("MQTT_USERNAME", "demo")).
		SetPassword(env("MQTT_PASSWORD", "demo"))
	if env("MQTT_VERSION", "3.1.1") == "3.1" {
		options.SetProtocolVersion(3)
	} else {
		options.SetProtocolVersion(4)
	}

	client := mqtt.NewClient(options)
	done(client.Connect())

	messages := make(chan mqtt.Message, 16)
	subscription := client.SubscribeMultiple(
		map[string]byte{topic: qos, commands: qos},
		func(_ mqtt.Client, message mqtt.Message) { messages <- message },
	)
	done(subscription)
	for filter, granted := range subscription.(*mqtt.SubscribeToken).Result() {
		if granted > 2 {
			log.Fatal("subscription refused: ", filter)
		}
	}
	fmt.Println("subscribed")

	// QoS 1 and 2: done when the service has acknowledged, so the message is stored.
	done(client.Publish(topic, qos, false, env("MQTT_PAYLOAD", "hello")))
	fmt.Println("published")

	waitingFor := map[string]bool{topic: true, commands: true}
	for len(waitingFor) > 0 {
		message := <-messages
		fmt.Printf("received %s %s\n", message.Topic(), message.Payload())
		delete(waitingFor, message.Topic())
	}
	client.Disconnect(1000)
}
