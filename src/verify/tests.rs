//! The loop against servers made of numbers, and the line against a listener that misbehaves.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use autotune_engine::api::Clock;
use serde_json::{Value, json};

use super::{
    About, Address, Answers, Ask, AskError, Reply, Room, Running, ServeError, Server, Servers,
    Shape, Verify,
};
use crate::model::{Side, Workload};

/// A clock that the fake servers move.
#[derive(Debug, Clone, Default)]
struct Hand(Arc<AtomicU32>);

impl Clock for Hand {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed).into())
    }
}

/// What happened, in order: servers opened, `-` for a closed one, `.` for requests.
type Diary = Rc<RefCell<String>>;

/// Servers whose tuned side takes half of the time.
struct Fake {
    diary: Diary,
    clock: Hand,
    /// Numbers of requests that fail, counted over all servers.
    failing: fn(u32) -> bool,
    asked: Rc<RefCell<u32>>,
}

struct FakeServer {
    side: Side,
    about: About,
    diary: Diary,
    clock: Hand,
    failing: fn(u32) -> bool,
    asked: Rc<RefCell<u32>>,
    own: u32,
}

impl Servers for Fake {
    fn open(&mut self, side: Side) -> Result<Box<dyn Server>, ServeError> {
        self.diary.borrow_mut().push(if side == Side::Default { 'D' } else { 'T' });
        let about = About { build: Some(format!("{side:?}")), ..About::default() };
        Ok(Box::new(FakeServer {
            side,
            about,
            diary: Rc::clone(&self.diary),
            clock: self.clock.clone(),
            failing: self.failing,
            asked: Rc::clone(&self.asked),
            own: 0,
        }))
    }
}

impl Server for FakeServer {
    fn about(&self) -> &About {
        &self.about
    }

    fn ask(&mut self, asks: &[Ask]) -> Result<Answers, AskError> {
        self.diary.borrow_mut().push('.');
        self.clock.0.fetch_add(1, Ordering::Relaxed);
        *self.asked.borrow_mut() += 1;
        self.own += 1;
        if (self.failing)(*self.asked.borrow()) {
            return Err(AskError::Request("no".into()));
        }
        // The first turn after a start is slow, and must not count.
        let warm = if self.own == 1 { 100.0 } else { 1.0 };
        let speed = if self.side == Side::Default { 1.0 } else { 2.0 };
        let reply = |ask: &Ask| Reply {
            prompt_tokens: u32::try_from(ask.prompt.len()).unwrap(),
            prompt_s: 0.01 * ask.prompt.len() as f64 * warm / speed,
            generated_tokens: ask.generate,
            generate_s: 0.1 * f64::from(ask.generate) * warm / speed,
        };
        Ok(Answers { replies: asks.iter().map(reply).collect(), wall_s: 10.0 * warm / speed })
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.diary.borrow_mut().push('-');
    }
}

fn fake(failing: fn(u32) -> bool) -> Fake {
    Fake { diary: Diary::default(), clock: Hand::default(), failing, asked: Rc::default() }
}

fn shape() -> Shape {
    let chat = Workload { prompt_tokens: 100, generate_tokens: 10, ..Workload::default() };
    let room = Room {
        prefill_s: 0.01,
        decode_s: 0.1,
        start_s: 1.0,
        model_bytes: 0,
        parallel: 1,
        visits: 12,
        budget_s: 9000.0,
    };
    Shape::of(&chat, room, 1000, 1)
}

fn verify<'a>(fake: &'a mut Fake, shape: &'a Shape, pairs: u32, budget: u64) -> Verify<'a> {
    let clock = Box::new(fake.clock.clone());
    let budget = Duration::from_secs(budget);
    Verify { servers: fake, shape, parallel: [1, 1], pairs, budget, clock }
}

#[test]
fn servers_are_never_up_together_and_their_order_turns_round() {
    let (mut fake, shape) = (fake(|_| false), shape());
    assert_eq!(shape.turns, 1);
    let diary = Rc::clone(&fake.diary);
    let ending = verify(&mut fake, &shape, 4, 900).run(&mut |_| {}).unwrap();
    assert_eq!(*diary.borrow(), "D..-T..-T..-D..-D..-T..-T..-D..-");
    assert_eq!((ending.measured.len(), ending.failed, ending.out_of_time), (4, 0, false));
    assert_eq!(ending.about[0].build.as_deref(), Some("Default"));
    assert_eq!(ending.about[1].build.as_deref(), Some("Tuned"));
    for pair in ending.measured {
        // 100 · 10 ms and 10 · 100 ms, and nothing of the warm-up.
        assert!((pair.default.turn_s - 2.0).abs() < 1e-9, "{pair:?}");
        assert!((pair.tuned.turn_s - 1.0).abs() < 1e-9, "{pair:?}");
        assert!((pair.tuned.prefill_tok_per_s.unwrap() - 200.0).abs() < 1e-9);
        assert!((pair.tuned.wall_s - 5.0).abs() < 1e-9);
    }
}

#[test]
fn an_accident_costs_its_pair_and_is_counted() {
    let (mut fake, shape) = (fake(|asked| asked == 3), shape());
    let diary = Rc::clone(&fake.diary);
    let mut reasons = Vec::new();
    let ending = verify(&mut fake, &shape, 2, 900)
        .run(&mut |event| {
            if let super::Event::Failed { reason } = event {
                reasons.push((*reason).to_owned());
            }
        })
        .unwrap();
    assert_eq!(*diary.borrow(), "D..-T.-D..-T..-T..-D..-");
    assert_eq!((ending.measured.len(), ending.failed), (2, 1));
    assert_eq!(reasons, ["no"]);
}

#[test]
fn a_server_that_fails_half_of_its_requests_is_given_up() {
    let (mut fake, shape) = (fake(|asked| asked % 2 == 0), shape());
    let error = verify(&mut fake, &shape, 6, 900).run(&mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "3 of 3 visits failed, the last one with: no");
}

#[test]
fn no_pair_is_begun_that_the_budget_would_cut() {
    let (mut fake, shape) = (fake(|_| false), shape());
    // A pair takes 4 s here.
    let ending = verify(&mut fake, &shape, 6, 11).run(&mut |_| {}).unwrap();
    assert_eq!((ending.measured.len(), ending.out_of_time), (2, true));
}

#[test]
fn several_requests_at_once_are_timed_by_the_clock_of_who_asks() {
    let (mut fake, shape) = (fake(|_| false), shape());
    let own = Verify { parallel: [4, 4], ..verify(&mut fake, &shape, 1, 900) };
    let ending = own.run(&mut |_| {}).unwrap();
    let [pair] = ending.measured.as_slice() else { panic!("{ending:?}") };
    assert!((pair.default.turn_s - 2.5).abs() < 1e-9, "10 s for four turns");
    assert_eq!(pair.default.prefill_tok_per_s, None, "they overlap");
}

/// What a listener does with a request.
enum Does {
    Answer(u16, String),
    Hang,
    HangUp,
}

/// A listener that answers every request as it is told, on threads of its own.
fn listen(does: impl Fn(&str, &Value) -> Does + Send + Sync + 'static) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let does = Arc::new(does);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let does = Arc::clone(&does);
            thread::spawn(move || serve(stream, does.as_ref()));
        }
    });
    Address::local(port)
}

fn serve(stream: TcpStream, does: &dyn Fn(&str, &Value) -> Does) {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).unwrap();
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if let Some(count) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = count.trim().parse().unwrap();
        }
        if header.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    match does(&path, &body) {
        Does::Answer(status, text) => {
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", text.len());
            let location = if status == 302 { "Location: http://127.0.0.1:9/\r\n" } else { "" };
            let stream = reader.get_mut();
            let _ = write!(stream, "{head}{location}Connection: close\r\n\r\n{text}");
        }
        Does::Hang => thread::sleep(Duration::from_secs(60)),
        Does::HangUp => {}
    }
}

/// A listener that is a server in all but its completions.
fn completions(does: impl Fn(&Value) -> Does + Send + Sync + 'static) -> Address {
    listen(move |path, body| match path {
        "/health" => Does::Answer(200, json!({"status": "ok"}).to_string()),
        "/props" => Does::Answer(200, json!({"total_slots": 4, "build_info": "b1"}).to_string()),
        _ => does(body),
    })
}

fn timings(prompt: u64, generated: u64) -> String {
    let timings = json!({"prompt_n": prompt, "prompt_ms": 20.0, "predicted_n": generated,
                         "predicted_ms": 30.0});
    json!({"content": "x", "timings": timings}).to_string()
}

fn open(tuned: Address) -> Result<Box<dyn Server>, ServeError> {
    let (answer, interrupted) = (Duration::from_millis(400), Arc::new(AtomicBool::new(false)));
    Running { tuned, default: None, answer, interrupted }.open(Side::Tuned)
}

fn ask_of(address: Address) -> Result<Answers, AskError> {
    let ask = Ask { prompt: vec![5, 6, 7], generate: 2, slot: 0, reuse: false };
    open(address).expect("it is a server").ask(&[ask])
}

#[test]
fn what_is_asked_is_what_the_workload_is_and_the_servers_own_times_come_back() {
    let address = completions(|body| {
        assert_eq!(body["prompt"], json!([5, 6, 7]));
        assert_eq!((&body["n_predict"], &body["cache_prompt"]), (&json!(2), &json!(false)));
        assert_eq!((&body["ignore_eos"], &body["temperature"]), (&json!(true), &json!(0.0)));
        Does::Answer(200, timings(3, 2))
    });
    assert_eq!(open(address.clone()).unwrap().about().build.as_deref(), Some("b1"));
    let answers = ask_of(address).unwrap();
    let [reply] = answers.replies.as_slice() else { panic!("{answers:?}") };
    assert!((reply.prompt_s - 0.02).abs() < 1e-12 && (reply.generate_s - 0.03).abs() < 1e-12);
}

#[test]
fn an_answer_that_is_no_measurement_fails_its_request_alone() {
    for (does, words) in [
        (Does::Answer(200, "{\"timings\": ".into()), "no JSON"),
        (Does::Answer(200, "{}".into()), "timings cannot be read"),
        (Does::Answer(200, timings(3, 1)), "1 of 2 tokens"),
        (Does::Answer(200, timings(1, 2)), "1 of 3 prompt tokens"),
        (Does::Answer(500, json!({"error": {"message": "full"}}).to_string()), "500: full"),
        (Does::Answer(302, "{}".into()), "status 302"),
        (Does::HangUp, "a request failed"),
    ] {
        let does = std::sync::Mutex::new(Some(does));
        let address = completions(move |_| does.lock().unwrap().take().expect("asked once"));
        let error = ask_of(address).unwrap_err();
        assert!(matches!(error, AskError::Request(_)), "{error}");
        assert!(error.to_string().contains(words), "{error} lacks {words}");
    }
}

#[test]
fn a_server_that_takes_too_long_is_not_asked_again() {
    let error = ask_of(completions(|_| Does::Hang)).unwrap_err();
    assert!(matches!(error, AskError::Server(ServeError::Silent { .. })), "{error}");
}

#[test]
fn what_is_no_llama_server_is_told_apart() {
    let other = |health: u16, props: &'static str| {
        listen(move |path, _| match path {
            "/health" => Does::Answer(health, String::new()),
            _ => Does::Answer(200, props.into()),
        })
    };
    for (address, words) in [
        (other(404, "{}"), "/health has status 404"),
        (other(503, "{}"), "still loading"),
        (other(200, "<html>"), "no JSON"),
        (other(200, "{\"name\": \"x\"}"), "total_slots"),
        // Nobody listens on the port for discarding.
        (Address::local(9), "does not answer"),
    ] {
        let Err(error) = open(address) else { panic!("{words}: it is no server") };
        assert!(matches!(error, ServeError::NotAServer { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error} lacks {words}");
    }
}

#[test]
fn a_wish_to_stop_ends_the_waiting_for_an_answer() {
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut servers = Running {
        tuned: completions(|_| Does::Hang),
        default: None,
        answer: Duration::from_secs(3600),
        interrupted: Arc::clone(&interrupted),
    };
    let mut server = servers.open(Side::Tuned).unwrap();
    interrupted.store(true, Ordering::Relaxed);
    let ask = Ask { prompt: vec![5], generate: 1, slot: 0, reuse: false };
    let error = server.ask(&[ask]).unwrap_err();
    assert!(matches!(error, AskError::Server(ServeError::Interrupted)), "{error}");
}
