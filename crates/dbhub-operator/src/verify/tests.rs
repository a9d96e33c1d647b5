use tokio::net::TcpListener;

use super::*;
use crate::fixtures::{HELLO, event, http, server, target};

#[tokio::test]
async fn it_asks_for_the_services_name_with_the_token_and_finds_the_tools() {
    let tools = event(r#"{"tools":[{"name":"execute_sql"},{"name":"search_objects"}]}"#);
    let (address, requests) = server(vec![event(HELLO), tools]).await;
    assert_eq!(once(&target(address, &["execute_sql"])).await, Ok(()));
    let requests = requests.lock().unwrap();
    for request in requests.iter() {
        let head = request.to_ascii_lowercase();
        assert!(head.starts_with("post /mcp http/1.1"), "{request}");
        assert!(
            head.contains("host: acme.ns.svc:8080\r\n") && head.contains("authorization: bearer s3cret\r\n"),
            "{request}"
        );
    }
    assert!(requests[0].contains(r#""method":"initialize""#) && requests[1].contains(r#""method":"tools/list""#));
}

#[tokio::test]
async fn a_missing_tool_is_named() {
    let json =
        |result: &str| http("200 OK", "application/json", &format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#));
    let (address, _) = server(vec![json(HELLO), json(r#"{"tools":[{"name":"execute_sql_a"}]}"#)]).await;
    let result = once(&target(address, &["execute_sql_a", "execute_sql_b"])).await;
    assert_eq!(result, Err(HandshakeError::ToolsMissing(vec!["execute_sql_b".into()])));
}

#[tokio::test]
async fn each_refusal_has_its_reason() {
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Internal error"}}"#;
    for (answer, reason) in [
        (http("401 Unauthorized", "application/json", "{}"), "TokenRefused"),
        (http("403 Forbidden", "application/json", "{}"), "HostRefused"),
        (http("503 Service Unavailable", "text/plain", ""), "HandshakeFailed"),
        (http("200 OK", "text/html", "<html>"), "HandshakeFailed"),
        (http("200 OK", "application/json", error), "HandshakeFailed"),
    ] {
        let (address, _) = server(vec![answer]).await;
        assert_eq!(once(&target(address, &[])).await.unwrap_err().reason(), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up_after_its_tries() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_eq!(handshake(&target(address, &[])).await, Err(HandshakeError::Timeout));
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    assert_eq!(once(&target(address, &[])).await, Err(HandshakeError::Unreachable));
}
