//! OpenAI-compatible endpoints: what they are sent, what is believed of what they answer, and what happens when they
//! fail, recover, or try to get at more than they should.

use std::io::Write;
use std::time::Duration;

use memoria::config::{Config, Embedding};
use memoria::embed::http::Http;
use memoria::embed::{Embedder, Side};
use memoria::error::{Error, ErrorKind, Result};

use crate::hosts::{Host, Sent, letters, nobody, reply, vectors};

fn settings(urls: &[String]) -> Embedding {
    let mut settings = Config::default().embedding;
    settings.http_urls = urls.join(",");
    settings.http_model = "m".to_owned();
    settings.http_timeout_ms = 60_000;
    settings
}

fn honest() -> Host {
    Host::new(|_, sent, stream| drop(stream.write_all(vectors(sent, letters).as_bytes())))
}

/// Honest until it has been opened, then it says what `lie` makes of each request.
fn turning(lie: impl Fn(&Sent) -> String + Send + Sync + 'static) -> Host {
    Host::new(move |_, sent, stream| {
        let is_ours = sent.texts().iter().any(|text| text.starts_with("ours"));
        let said = if is_ours { lie(sent) } else { vectors(sent, letters) };
        let _ = stream.write_all(said.as_bytes());
    })
}

fn opened(host: &Host) -> Http {
    Http::open(&settings(&[host.url("/v1")])).unwrap()
}

fn refusal(outcome: Result<impl Sized>) -> Error {
    match outcome {
        Ok(_) => panic!("it was taken"),
        Err(error) => error,
    }
}

#[test]
fn vectors_come_in_the_order_of_the_texts_and_of_unit_length() {
    let host = honest();
    let http = opened(&host);
    assert_eq!(http.space().dims, 4, "learned from the endpoint");
    assert_eq!(http.space().model.as_str(), format!("http:127.0.0.1:{}/m/4", host.port));
    let texts: Vec<String> = (0..70).map(|n| "a".repeat(n)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let found = http.embed(Side::Passage, &texts).unwrap();
    assert_eq!(found.len(), texts.len());
    for (text, vector) in texts.iter().zip(&found) {
        let length = letters(text).iter().map(|x| x * x).sum::<f32>().sqrt();
        let expected: Vec<f32> = letters(text).iter().map(|x| x / length).collect();
        assert!(vector.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{text}: {vector:?}");
    }
    assert!(http.embed(Side::Question, &[]).unwrap().is_empty());
    assert!(host.seen().iter().all(|sent| sent.texts().len() <= 32 && sent.json()["model"] == "m"));
    assert_eq!(host.seen()[0].first, "POST /v1/embeddings HTTP/1.1");
}

#[test]
fn an_index_says_which_text_a_vector_is_of() {
    let host = Host::new(|_, sent, stream| {
        let all: Vec<_> = (sent.texts().iter().enumerate().rev())
            .map(|(index, text)| serde_json::json!({ "index": index, "embedding": letters(text) }))
            .collect();
        let _ = stream.write_all(reply("200 OK", "", &serde_json::json!({ "data": all }).to_string()).as_bytes());
    });
    let found = opened(&host).embed(Side::Passage, &["aaaaaaaa", "iiiiiiii"]).unwrap();
    assert!(found[0][0] > found[0][2] && found[1][2] > found[1][0], "{found:?}");
}

#[test]
fn prefixes_and_dimensions_are_sent_and_make_another_space() {
    let host = Host::new(|_, sent, stream| drop(stream.write_all(vectors(sent, |_| vec![0.0, 3.0]).as_bytes())));
    let mut settings = settings(&[host.url("/v1/embeddings/")]);
    settings.dims = 2;
    let plain = Http::open(&settings).unwrap().space().clone();
    settings.question_prefix = "query: ".to_owned();
    let http = Http::open(&settings).unwrap();
    assert_ne!(http.space().model, plain.model);
    http.embed(Side::Question, &["x"]).unwrap();
    http.embed(Side::Passage, &["x"]).unwrap();
    let seen = host.seen();
    let last = &seen[seen.len() - 2..];
    assert_eq!((last[0].texts(), last[1].texts()), (vec!["query: x".to_owned()], vec!["x".to_owned()]));
    assert!(seen.iter().all(|sent| sent.json()["dimensions"] == 2));
}

#[test]
fn what_an_endpoint_sends_is_believed_only_where_it_is_sound() {
    let item = |embedding: &str| format!(r#"{{"index":0,"embedding":{embedding}}}"#);
    let data = |items: &str| reply("200 OK", "", &format!(r#"{{"data":[{items}]}}"#));
    let lies = [
        (reply("200 OK", "", "<html>"), "not JSON"),
        (reply("200 OK", "", ""), "not JSON"),
        (reply("200 OK", "", r#"{"data":null}"#), "not a list of embeddings"),
        (reply("200 OK", "", r#"{"error":"model is loading"}"#), "not a list of embeddings"),
        (data(""), "0 came for 1 texts"),
        (data(&[item("[1,2,3,4]"), item("[1,2,3,4]")].join(",")), "2 came for 1 texts"),
        (data(&item("[1,2,3]")), "3 dimensions instead of 4"),
        (data(&item("[]")), "0 dimensions instead of 4"),
        (data(&item("null")), "not a list of embeddings"),
        (data(&item("[1,2,3,null]")), "not a list of embeddings"),
        (data(&item("[1,2,3,NaN]")), "not JSON"),
        (data(&item("[1,2,3,\"NaN\"]")), "not a list of embeddings"),
        (data(&item("[1,2,3,1e39]")), "numbers that are none"),
        (data(&item("[1,2,3,1e999]")), "not JSON"),
        (data(&item("\"AACAPwAAAEA=\"")), "not a list of embeddings"),
        (data(r#"{"index":1,"embedding":[1,2,3,4]}"#), "number 1 came for 1 texts"),
        (data(r#"{"index":-1,"embedding":[1,2,3,4]}"#), "not a list of embeddings"),
        (reply("200 OK", "", &"x".repeat(1_000_000)), "longer than"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n".to_owned(), "longer than"),
        (reply("200 OK", "", &format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000))), "JSON"),
    ];
    for (lie, expected) in lies {
        let shown: String = lie.chars().take(120).collect();
        let host = turning(move |_| lie.clone());
        let error = refusal(opened(&host).embed(Side::Question, &["ours"]));
        assert!(error.message.contains(expected) && error.is_retryable(), "{shown}: {error}");
    }
}

#[test]
fn the_same_number_twice_is_refused() {
    let twice = r#"{"data":[{"index":0,"embedding":[1,2,3,4]},{"index":0,"embedding":[1,2,3,4]}]}"#;
    let host = turning(move |_| reply("200 OK", "", twice));
    let error = refusal(opened(&host).embed(Side::Question, &["ours", "ours too"]));
    assert!(error.message.contains("number 0 came twice"), "{error}");
}

#[test]
fn a_memory_is_tried_again_when_the_endpoint_is_busy() {
    let host = Host::new(|number, sent, stream| {
        let said = match number {
            5 => reply("429 Too Many Requests", "Retry-After: 0\r\n", ""),
            6 => reply("500 Internal Server Error", "", "oh"),
            _ => vectors(sent, letters),
        };
        let _ = stream.write_all(said.as_bytes());
    });
    let http = opened(&host);
    while host.seen().len() < 5 {
        http.embed(Side::Passage, &["x"]).unwrap();
    }
    assert_eq!(http.embed(Side::Passage, &["x"]).unwrap().len(), 1);
    assert_eq!(host.seen().len(), 8, "two failures, then it went through");
}

#[test]
fn a_question_is_not_tried_again() {
    let host = turning(|_| reply("503 Service Unavailable", "", r#"{"error":{"message":"later"}}"#));
    let http = opened(&host);
    let before = host.seen().len();
    let error = refusal(http.embed(Side::Question, &["ours"]));
    assert_eq!(host.seen().len(), before + 1);
    assert!(error.is_retryable() && error.message.contains("status 503, later"), "{error}");
}

#[test]
fn a_host_that_wants_to_be_left_alone_for_long_is() {
    let host = turning(|_| reply("429 Too Many Requests", "Retry-After: 3600\r\n", ""));
    let http = opened(&host);
    let before = host.seen().len();
    assert_eq!(refusal(http.embed(Side::Passage, &["ours"])).kind, ErrorKind::Unavailable);
    assert_eq!(host.seen().len(), before + 1);
}

#[test]
fn the_second_endpoint_answers_where_the_first_does_not() {
    let (port, _held) = nobody();
    let second = honest();
    let http = Http::open(&settings(&[format!("http://127.0.0.1:{port}/v1"), second.url("/v1")])).unwrap();
    assert_eq!(http.embed(Side::Question, &["x"]).unwrap().len(), 1);
    assert!(http.describe().contains("resting for"), "{}", http.describe());
}

#[test]
fn an_endpoint_that_keeps_failing_is_left_alone_until_it_may_try_again() {
    let host = turning(|_| reply("500 Internal Server Error", "", ""));
    let http = opened(&host);
    let before = host.seen().len();
    for _ in 0..6 {
        refusal(http.embed(Side::Question, &["ours"]));
    }
    assert_eq!(host.seen().len(), before + 3, "after three failures it is not asked");
    let error = refusal(http.embed(Side::Question, &["theirs"]));
    assert!(error.is_retryable() && error.message.contains("left alone after 3 failures"), "{error}");
    assert!(http.describe().contains("resting for"), "{}", http.describe());
    // The rest lasts seconds; then one request may try, and decides for all.
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while http.embed(Side::Question, &["theirs"]).is_err() {
        assert!(std::time::Instant::now() < until, "it never tried again");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(!http.describe().contains("fail"), "{}", http.describe());
}

#[test]
fn a_text_that_is_refused_does_not_break_the_circuit() {
    let host = turning(|_| reply("400 Bad Request", "", r#"{"error":{"message":"input is too long"}}"#));
    let http = opened(&host);
    for _ in 0..5 {
        let error = refusal(http.embed(Side::Passage, &["ours"]));
        assert!(error.kind == ErrorKind::Invalid && error.message.contains("input is too long"), "{error}");
    }
    http.embed(Side::Passage, &["theirs"]).unwrap();
}

#[test]
fn neither_texts_nor_the_key_are_sent_elsewhere() {
    let elsewhere = honest();
    for status in ["301 Moved", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("Location: {}\r\n", elsewhere.url("/v1/embeddings"));
        let host = turning(move |_| reply(status, &location, ""));
        let error = refusal(opened(&host).embed(Side::Passage, &["ours"]));
        assert!(error.message.contains("sends us elsewhere"), "{error}");
    }
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn the_key_is_read_from_its_file_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "sk-very-secret\n").unwrap();
    let host = turning(|sent| {
        let key = sent.header("authorization").unwrap_or_default().to_owned();
        reply("401 Unauthorized", "", &serde_json::json!({ "error": { "message": format!("bad {key}") } }).to_string())
    });
    let mut settings = settings(&[host.url("/v1")]);
    settings.http_key_file = file.display().to_string();
    let http = Http::open(&settings).unwrap();
    let error = refusal(http.embed(Side::Question, &["ours"]));
    assert!(error.message.contains("401") && !error.message.contains("secret"), "{error}");
    assert!(!http.describe().contains("secret"), "{}", http.describe());
    std::fs::write(&file, "sk-another\n").unwrap();
    http.embed(Side::Question, &["theirs"]).unwrap();
    assert_eq!(host.seen().last().unwrap().header("authorization"), Some("Bearer sk-another"), "a changed key counts");
}

#[test]
fn an_error_repeats_no_text_of_the_user() {
    let host = turning(|sent| {
        let message = format!("cannot embed '{}'", sent.texts()[0]);
        reply("422 Unprocessable", "", &serde_json::json!({ "detail": message }).to_string())
    });
    let error = refusal(opened(&host).embed(Side::Passage, &["ours: the door code is 1234"]));
    assert!(error.message.contains("422") && !error.message.contains("1234"), "{error}");
}

#[test]
fn a_key_never_travels_in_the_clear() {
    let mut settings = settings(&["http://192.0.2.1/v1".to_owned()]);
    settings.http_key_env = "MEMORIA_TEST_NO_SUCH_KEY".to_owned();
    let error = refusal(Http::open(&settings));
    assert!(error.kind == ErrorKind::Denied && error.message.contains("use https"), "{error}");
}

#[test]
fn settings_that_cannot_work_are_refused_with_what_to_set() {
    let host = honest();
    let good = || settings(&[host.url("/v1")]);
    let cases: [(Embedding, &str); 6] = [
        (Embedding { http_urls: String::new(), ..good() }, "embedding.http_urls is empty"),
        (Embedding { http_urls: " , ".to_owned(), ..good() }, "embedding.http_urls is empty"),
        (Embedding { http_urls: "localhost:11434".to_owned(), ..good() }, "http:// or https://"),
        (Embedding { http_model: String::new(), ..good() }, "embedding.http_model is empty"),
        (Embedding { http_key_env: "A".to_owned(), http_key_file: "b".to_owned(), ..good() }, "are both set"),
        (Embedding { http_key_env: "MEMORIA_TEST_NO_SUCH_KEY".to_owned(), ..good() }, "MEMORIA_TEST_NO_SUCH_KEY"),
    ];
    for (settings, expected) in cases {
        let error = refusal(Http::open(&settings));
        assert!(error.kind == ErrorKind::Invalid && error.message.contains(expected), "{error}");
    }
    assert!(host.seen().is_empty());
}

#[test]
fn a_hanging_endpoint_costs_one_timeout() {
    let host = Host::new(|_, _, _| std::thread::sleep(Duration::from_secs(60)));
    let mut settings = settings(&[host.url("/v1")]);
    // So long that the host has seen what came, though it was busy.
    settings.http_timeout_ms = 3_000;
    let error = refusal(Http::open(&settings));
    assert!(error.is_retryable() && error.message.contains("the time for it is over"), "{error}");
    assert_eq!(host.seen().len(), 1);
}
