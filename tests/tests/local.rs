//! The operator's local mode as a user meets it: errors in files, taken ports, changes, Ctrl-C.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use isthmus_tests::client::Outgoing;
use isthmus_tests::run::{self, Process};
use isthmus_tests::{
    Client, Options, Parent, QoS, SOON, Service, Spec, Tail, User, Version, eventually, kafka,
    service,
};
use rustix::process::Signal;

/// Runs the operator on this text, which it should refuse, and gives what it said.
fn refused(text: &str) -> String {
    let file = run::folder("bad").join("bad.yaml");
    run::write_file(&file, text);
    service::refused(&file, "127.0.0.1:1")
}

const INSTANCE: &str = "\
apiVersion: mqtt.isthmus.dev/v1alpha1
kind: MqttInstance
metadata: {name: bad}
spec:
  replicas: 1
  kafka: {bootstrapServers: 127.0.0.1:9092}
";

#[test]
fn an_error_names_file_line_and_field() {
    // What is wrong, in which lines it may be told, and the words that must be in the answer.
    let cases: [(&str, String, &[u32], &[&str]); 7] = [
        (
            "unknown field",
            INSTANCE.replace("replicas: 1", "replica: 1"),
            &[5],
            &["replica"],
        ),
        (
            "wrong type",
            INSTANCE.replace("replicas: 1", "replicas: many"),
            &[5],
            &["replicas"],
        ),
        (
            "out of range",
            format!("{INSTANCE}  slots: 0\n"),
            &[7],
            &["slots"],
        ),
        (
            "bad duration",
            format!("{INSTANCE}  session: {{expiry: soon}}\n"),
            &[7],
            &["expiry"],
        ),
        (
            "ports that meet",
            format!(
                "{INSTANCE}  listeners: {{mqtt: {{port: 9090}}}}\n  monitoring: {{port: 9090}}\n"
            ),
            &[7, 8],
            &["port"],
        ),
        (
            "a parent's name",
            format!(
                "{INSTANCE}---\napiVersion: mqtt.isthmus.dev/v1alpha1\nkind: ParentTopic\nmetadata: {{name: p}}\nspec:\n  instanceRef: {{name: bad}}\n  topicName: orderMsg2mq-x\n  type: Normal\n"
            ),
            &[13, 14],
            &["orderMsg2mq-"],
        ),
        (
            "a missing Secret",
            format!(
                "{INSTANCE}---\napiVersion: mqtt.isthmus.dev/v1alpha1\nkind: MqttUser\nmetadata: {{name: u}}\nspec:\n  instanceRef: {{name: bad}}\n  passwordSecretRef: {{name: nowhere}}\n"
            ),
            &[13],
            &["nowhere"],
        ),
    ];
    for (what, text, lines, words) in cases {
        let said = refused(&text);
        let places: Vec<String> = lines
            .iter()
            .map(|line| format!("bad.yaml:{line}:"))
            .collect();
        let mut told = said.lines();
        let found = told.find(|said| places.iter().any(|place| said.contains(place)));
        let found = found.unwrap_or_else(|| panic!("{what}: none of {places:?} in\n{said}"));
        for word in words {
            assert!(found.contains(word), "{what}: {word:?} is not in {found:?}");
        }
    }
}

#[test]
fn every_unknown_or_impossible_field_of_all_documents_is_told_at_once() {
    let said = refused(&format!(
        "{}  slots: 0\n---\napiVersion: mqtt.isthmus.dev/v1alpha1\nkind: ParentTopic\nmetadata: {{name: p}}\nspec:\n  instanceRef: {{name: bad}}\n  partition: 3\n",
        INSTANCE.replace("replicas: 1", "replica: 1")
    ));
    for (line, field) in [(5, "replica"), (7, "slots"), (14, "partition")] {
        let place = format!("bad.yaml:{line}:");
        let told = said
            .lines()
            .any(|told| told.contains(&place) && told.contains(field));
        assert!(told, "no word of {field} in line {line} in\n{said}");
    }
}

#[test]
fn a_file_that_is_no_yaml_or_not_there_is_named() {
    assert!(refused("kind: [").contains("bad.yaml:1:"));
    let missing = run::folder("missing").join("nowhere.yaml");
    assert!(service::refused(&missing, "127.0.0.1:1").contains("nowhere.yaml"));
}

#[test]
fn a_taken_port_is_named() {
    let spec = Spec::new("taken");
    let _taken = TcpListener::bind(("0.0.0.0", spec.mqtt)).unwrap();
    let file = run::folder("taken").join("isthmus.yaml");
    let kafka = kafka::shared();
    run::write_file(&file, &spec.yaml(&kafka.bootstrap()));
    let said = service::refused(&file, &kafka.bootstrap());
    assert!(
        said.contains(&spec.mqtt.to_string()),
        "port {} is not named:\n{said}",
        spec.mqtt
    );
}

#[test]
fn changes_of_the_file_are_followed() {
    let mut service = Service::start(kafka::shared(), Spec::new("follow"));
    let address = service.address();
    let mut device = Client::connect(&address, &Options::new("device"));
    let broker = service.broker();

    service.change(|spec| {
        spec.parents.push(Parent::new("later", 2));
        spec.users
            .push(User::new("newcomer", "first", &[("later/#", "pub")]));
    });
    let mut newcomer = eventually("the new user", SOON, || {
        Client::try_connect(
            &address,
            &Options::new("new")
                .version(Version::V5)
                .account("newcomer", "first"),
        )
        .ok()
    });
    eventually("the new parent's topic", SOON, || {
        kafka::shared()
            .topics()
            .contains(&service.topic("later"))
            .then_some(())
    });
    let mut tail = Tail::from_start(service.bootstrap(), &service.topic("later"));
    eventually("a stored message", SOON, || {
        assert_eq!(newcomer.publish(&Outgoing::new("later/x", "stored")), 0);
        tail.poll(Duration::from_millis(200))
    });

    service.change(|spec| "second".clone_into(&mut spec.users.last_mut().unwrap().password));
    eventually("the new password", SOON, || {
        Client::try_connect(
            &address,
            &Options::new("again").account("newcomer", "second"),
        )
        .ok()
    });
    assert!(
        Client::try_connect(
            &address,
            &Options::new("again").account("newcomer", "first")
        )
        .is_err()
    );

    let mut newcomer = Client::connect(
        &address,
        &Options::new("new")
            .version(Version::V5)
            .account("newcomer", "second"),
    );
    service.change(|spec| {
        spec.users.pop();
    });
    assert!(
        newcomer.ended().is_some_and(|code| code >= 0x80),
        "a removed user is disconnected"
    );
    device.ping();
    assert_eq!(
        service.broker(),
        broker,
        "the broker was restarted for a change of users and parents"
    );
}

#[test]
fn a_change_that_is_wrong_is_told_and_changes_nothing() {
    let mut service = Service::start(kafka::shared(), Spec::new("wrong"));
    let mut device = Client::connect(&service.address(), &Options::new("device"));
    let right = std::fs::read_to_string(service.file()).unwrap();
    run::write_file(&service.file(), &right.replace("replicas: 1", "replica: 1"));
    service.operator().wait_for_line("isthmus.yaml:5:", SOON);
    device.ping();
    Client::connect(&service.address(), &Options::new("second")).disconnect();
    run::write_file(&service.file(), &right);
    service.change(|spec| spec.users.push(User::new("after", "pass", &[])));
    eventually("the file is followed again", SOON, || {
        Client::try_connect(
            &service.address(),
            &Options::new("third").account("after", "pass"),
        )
        .ok()
    });
}

#[test]
fn a_broker_that_died_is_started_again() {
    let mut service = Service::start(kafka::shared(), Spec::new("restart"));
    for _ in 0..2 {
        let before = service.broker();
        service.kill_broker();
        service.wait_ready();
        assert_ne!(service.broker(), before);
        Client::connect(&service.address(), &Options::new("device")).disconnect();
    }
}

#[test]
fn ctrl_c_stops_all_and_tells_the_clients() {
    let mut service = Service::start(kafka::shared(), Spec::new("stop"));
    let broker = service.broker();
    let mut device = Client::connect(
        &service.address(),
        &Options::new("device").version(Version::V5),
    );
    service.operator().signal(Signal::INT);
    assert_eq!(device.ended(), Some(0x8B), "server shutting down");
    let status = service.operator().wait(SOON);
    assert!(status.success(), "Ctrl-C is no failure: {status}");
    assert!(!run::alive(broker), "the broker outlived the operator");
}

#[test]
fn a_killed_operator_is_started_again_over_what_it_left() {
    let mut service = Service::start(kafka::shared(), Spec::new("orphan"));
    let left = service.broker();
    service.kill_operator();
    service.launch();
    eventually("the broker that was left behind is gone", SOON, || {
        (!run::alive(left)).then_some(())
    });
    service.wait_ready();
    assert_ne!(service.broker(), left);
    Client::connect(&service.address(), &Options::new("device")).disconnect();
}

#[test]
fn a_user_without_a_password_gets_one_in_the_secrets_folder() {
    let spec = Spec::new("secrets");
    let name = format!("{}-robot", spec.name);
    let text = format!(
        "{}---\napiVersion: mqtt.isthmus.dev/v1alpha1\nkind: MqttUser\nmetadata: {{name: {name}}}\nspec:\n  instanceRef: {{name: {}}}\n  username: robot\n  acl: [{{topic: robot, action: pubsub}}]\n",
        spec.yaml(&kafka::shared().bootstrap()),
        spec.name
    );
    let service = Service::start_with(kafka::shared(), spec, &text);
    let folder = service.data().join("secrets");
    let file = eventually("a generated secret", SOON, || {
        let files = std::fs::read_dir(&folder).ok()?.flatten();
        files
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().contains("robot"))
    });
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    let text = std::fs::read_to_string(&file).unwrap();
    let password = generated_password(&text);
    let mut robot = Client::connect(
        &service.address(),
        &Options::new("r").account("robot", &password),
    );
    robot.subscribe("robot", QoS::AtLeastOnce);
    assert!(
        service.output().contains(&file.display().to_string()),
        "the path is printed"
    );
    assert!(
        !service.output().contains(&password),
        "the password is printed"
    );
}

/// The value of `password` in a Secret document, `stringData` or base64 `data`.
fn generated_password(text: &str) -> String {
    use base64::Engine as _;
    let value = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("password:"));
    let value = value
        .unwrap_or_else(|| panic!("no password in\n{text}"))
        .trim()
        .trim_matches(['"', '\'']);
    if text.contains("stringData") {
        return value.to_owned();
    }
    String::from_utf8(
        base64::engine::general_purpose::STANDARD
            .decode(value)
            .unwrap(),
    )
    .unwrap()
}

/// An offset with which both of Kafka's ports are free.
fn own_kafka_offset() -> u16 {
    let free = |port: u16| TcpListener::bind(("0.0.0.0", port)).is_ok();
    let offset = (1_000..6_000)
        .step_by(7)
        .find(|offset| free(9092 + offset) && free(19092 + offset));
    offset.expect("free ports for Kafka")
}

/// Without `--kafka` a real Kafka is started; the data is kept between runs; everything stops.
#[test]
fn local_mode_brings_its_own_kafka_and_keeps_its_data() {
    let folder = run::folder("own");
    // Kafka's own ports move like all others; ours are written so that they come out free.
    let offset = own_kafka_offset();
    let mut spec = Spec::new("own");
    let (mqtt, monitoring) = (spec.mqtt, spec.monitoring);
    for port in [&mut spec.mqtt, &mut spec.ws, &mut spec.monitoring] {
        *port -= offset;
    }
    let kafka = format!("127.0.0.1:{}", 9092 + offset);
    run::write_file(
        &folder.join("isthmus.yaml"),
        &spec.yaml("kafka.example:9092"),
    );
    let start = || {
        let mut command = service::operator();
        command.env("PORT_OFFSET", offset.to_string()).arg("local");
        command.arg("-f").arg(folder.join("isthmus.yaml"));
        command.arg("--data").arg(folder.join("data"));
        let mut operator = Process::start("operator", &mut command, &folder.join("operator.log"));
        eventually("/readyz answers 200", Duration::from_secs(90), || {
            assert!(operator.ended().is_none(), "{}", operator.output());
            service::get(monitoring, "/readyz").filter(|(code, _)| *code == 200)
        });
        operator
    };
    let stop = |mut operator: Process| {
        let children = [
            run::descendants(operator.id(), "java"),
            run::descendants(operator.id(), "isthmus-broker"),
        ];
        assert!(
            children.iter().all(|found| found.len() == 1),
            "one Kafka and one broker: {children:?}"
        );
        operator.signal(Signal::INT);
        assert!(operator.wait(Duration::from_secs(60)).success());
        for child in children.concat() {
            assert!(!run::alive(child), "process {child} outlived the operator");
        }
    };
    let address = format!("127.0.0.1:{mqtt}");
    let sleeper = Options::new("sleeper").persistent();
    let operator = start();
    let mut device = Client::connect(&address, &sleeper);
    device.subscribe("news", QoS::AtLeastOnce);
    device.disconnect();
    let mut publisher = Client::connect(&address, &Options::new("publisher"));
    publisher.publish(&Outgoing::new("news", "kept"));
    publisher.publish(&Outgoing::new("up/x", "stored"));
    stop(operator);
    let operator = start();
    let mut device = Client::connect(&address, &sleeper);
    assert!(device.welcome.session_present);
    assert_eq!(device.message().text(), "kept");
    let mut tail = Tail::from_start(&kafka, &format!("{}up", spec.prefix));
    assert_eq!(tail.keyed("publisher").json()["payload"], "stored");
    stop(operator);
}
