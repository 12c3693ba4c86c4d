//! What a plain AMQP client sees: what Microsoft's clients cannot ask for, or do not hand on.

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::delivery::Sendable;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use fe2o3_amqp_types::messaging::annotations::OwnedKey;
use fe2o3_amqp_types::messaging::{
    AmqpValue, ApplicationProperties, Body, Data, FilterSet, Message, Outcome, Properties, Source,
};
use fe2o3_amqp_types::primitives::{OrderedMap, SimpleValue, Symbol, Value};

use super::Emulator;
use super::tests::{apply, emulator, fill, within};

/// Message format of a batch.
const BATCH_FORMAT: u32 = 0x8001_3700;

async fn connect(emulator: &Emulator) -> ConnectionHandle<()> {
    let endpoint = emulator.endpoint();
    let open = Connection::builder()
        .container_id("test")
        .sasl_profile(SaslProfile::Anonymous)
        .open(endpoint.as_str());
    within("open", open).await.unwrap()
}

/// A session on a connection of its own, which has to be kept.
async fn session(emulator: &Emulator) -> (SessionHandle<()>, impl Sized) {
    let mut connection = connect(emulator).await;
    (within("begin", Session::begin(&mut connection)).await.unwrap(), connection)
}

async fn attach_sender(session: &mut SessionHandle<()>, target: &str) -> Sender {
    within("attach", Sender::attach(session, target, target)).await.unwrap()
}

/// The condition of the error that ends the link, with its description.
async fn refusal(sender: &mut Sender) -> String {
    format!("{:?}", within("the detach", sender.on_detach()).await)
}

#[tokio::test]
async fn an_idle_connection_is_told_why_it_is_closed() {
    let emulator = emulator(1).await;
    let mut connection = connect(&emulator).await;
    apply(&emulator, "idle-close");
    let closed = within("the close", connection.on_close()).await;
    let error = format!("{:?}", closed.unwrap_err());
    assert!(error.contains("ConnectionForced"), "{error}");
    assert!(error.contains("inactive for more than the allowed 300000 milliseconds"), "{error}");
}

#[tokio::test]
async fn writers_to_what_does_not_exist_are_refused_as_not_found() {
    let emulator = emulator(1).await;
    let (mut session, _connection) = session(&emulator).await;
    for target in ["nowhere", "logs/Partitions/1", "nowhere/Partitions/0", "logs/a/b"] {
        let mut sender = attach_sender(&mut session, target).await;
        let error = refusal(&mut sender).await;
        assert!(error.contains("NotFound"), "{target}: {error}");
    }
}

#[tokio::test]
async fn idempotent_publishing_is_refused_by_name() {
    let emulator = emulator(1).await;
    let (mut session, _connection) = session(&emulator).await;
    let attach = Sender::builder()
        .name("idempotent")
        .target("logs/Partitions/0")
        .set_desired_capabilities(vec![Symbol::from("com.microsoft:idempotent-producer")])
        .attach(&mut session);
    let mut sender = within("attach", attach).await.unwrap();
    let error = refusal(&mut sender).await;
    assert!(error.contains("NotImplemented"), "{error}");
    assert!(error.contains("does not offer idempotent publishing"), "{error}");
}

/// An event, encoded.
fn encoded(body: &[u8]) -> Vec<u8> {
    // Descriptor of a data section, short binary.
    let length = u8::try_from(body.len()).unwrap();
    [&[0x00, 0x53, 0x75, 0xa0, length], body].concat()
}

#[tokio::test]
async fn a_batch_with_a_broken_event_is_refused_whole() {
    let emulator = emulator(1).await;
    let (mut session, _connection) = session(&emulator).await;
    let mut sender = attach_sender(&mut session, "logs").await;
    for (broken, stored) in [(b"no message".to_vec(), 0), (encoded(b"three"), 3)] {
        let sections = [encoded(b"one"), encoded(b"two"), broken];
        let body: Body<Value> = Body::Data(sections.map(|one| Data(one.into())).to_vec().into());
        let sendable = Sendable::builder()
            .message(Message::builder().body(body).build())
            .message_format(BATCH_FORMAT)
            .build();
        let outcome = within("send", sender.send(sendable)).await.unwrap();
        assert_eq!(matches!(outcome, Outcome::Accepted(_)), stored > 0, "{outcome:?}");
        if let Outcome::Rejected(rejected) = outcome {
            let error = format!("{:?}", rejected.error);
            assert!(error.contains("DecodeError") && error.contains("event 2"), "{error}");
        }
        assert_eq!(emulator.control().received("logs"), [stored]);
    }
}

#[tokio::test]
async fn other_management_operations_are_refused_by_name() {
    let emulator = emulator(1).await;
    let (mut session, _connection) = session(&emulator).await;
    let mut sender = attach_sender(&mut session, "$management").await;
    let attach = Receiver::attach(&mut session, "answers", "$management");
    let mut receiver = within("attach", attach).await.unwrap();
    for (operation, kind, status) in [
        ("READ", "com.microsoft:eventhub", 200),
        ("READ", "com.microsoft:schemagroup", 501),
        ("CREATE", "com.microsoft:eventhub", 501),
    ] {
        let text = |text: &str| SimpleValue::String(text.to_owned());
        let mut request = OrderedMap::new();
        for (key, value) in [("operation", operation), ("type", kind), ("name", "logs")] {
            request.insert(key.to_owned(), text(value));
        }
        let message = Message::builder()
            .properties(Properties::builder().message_id("1".to_owned()).build())
            .application_properties(ApplicationProperties(request))
            .body(Body::Value(AmqpValue(Value::Null)))
            .build();
        within("send", sender.send(message)).await.unwrap();
        let answer = within("answer", receiver.recv::<Body<Value>>()).await.unwrap();
        let properties = answer.message().application_properties.clone().unwrap().0;
        assert_eq!(properties.get("status-code"), Some(&SimpleValue::Int(status)), "{operation}");
        let description = format!("{:?}", properties.get("status-description"));
        let named =
            description.contains(&format!("does not offer the operation {operation} on {kind}"));
        assert_eq!(named, status == 501, "{description}");
        let condition = properties.get("error-condition");
        let wanted = SimpleValue::Symbol(Symbol::from("amqp:not-implemented"));
        assert_eq!(condition, (status == 501).then_some(&wanted), "{operation}");
    }
}

#[tokio::test]
async fn a_reader_that_asks_is_told_the_last_event_with_every_event() {
    const CAPABILITY: &str = "com.microsoft:enable-receiver-runtime-metric";
    let emulator = emulator(1).await;
    fill(&emulator, 3);
    for asks in [true, false] {
        let (mut session, _connection) = session(&emulator).await;
        let mut filter = FilterSet::new();
        let selector = Value::String("amqp.annotation.x-opt-offset > '-1'".to_owned());
        filter.insert(Symbol::from("apache.org:selector-filter:string"), selector);
        let address = "logs/ConsumerGroups/$Default/Partitions/0";
        let source = Source { filter: Some(filter), ..Source::from(address) };
        let desired = if asks { vec![Symbol::from(CAPABILITY)] } else { vec![] };
        let attach = Receiver::builder()
            .name("reader")
            .source(source)
            .set_desired_capabilities(desired)
            .attach(&mut session);
        let mut receiver = within("attach", attach).await.unwrap();
        for _ in 0..3 {
            let event = within("event", receiver.recv::<Body<Value>>()).await.unwrap();
            let told = event.message().delivery_annotations.as_ref().map(|annotations| {
                let value = |key: &str| annotations.0.get(&OwnedKey::from(key)).cloned().unwrap();
                (value("last_enqueued_sequence_number"), value("last_enqueued_offset"))
            });
            let wanted = (Value::Long(2), Value::String("130".to_owned()));
            assert_eq!(told, asks.then_some(wanted));
        }
    }
}
