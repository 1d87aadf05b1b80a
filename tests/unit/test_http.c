/* What is sent, and what is made of each kind of answer. */
#include "tests/unit/http_fixture.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

/* Stands in for the C library's, so that names resolve without a network, and as we like. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (__typeof__(real))dlsym(RTLD_NEXT, "getaddrinfo");
    bool two = strcmp(name, "two.test") == 0;
    if (!two && strcmp(name, "one.test") != 0)
        return EAI_NONAME;
    int status = real(two ? "127.0.0.2" : "127.0.0.1", service, hints, ret);
    if (status == 0 && two)
        status = real("127.0.0.1", service, hints, &(*ret)->ai_next);
    return status;
}

static char script[512 * 1024];

static void send_script(struct peer *peer)
{
    peer_send(peer, script);
}

static void send_script_and_close(struct peer *peer)
{
    peer_send(peer, script);
    peer_close(peer);
}

static void send_script_and_reset(struct peer *peer)
{
    peer_send(peer, script);
    peer_reset(peer);
}

static void say_nothing(struct peer *peer)
{
    (void)peer;
}

static void answers(struct world *world, const char *text, void (*how)(struct peer *))
{
    snprintf(script, sizeof(script), "%s", text);
    world->server.on_request = how;
}

static void assert_end(struct wish *wish, enum http_end end, const char *reason)
{
    if (wish->end != end)
        print_error("status %d, reason: %s\n", wish->status, wish->reason);
    assert_int_equal(wish->end, end);
    if (!strstr(wish->reason, reason))
        fail_msg("\"%s\" is not in: %s", reason, wish->reason);
}

static void test_get(void **state)
{
    struct wish wish;
    wish_init(&wish, *state, "/a?b=c");
    wish_run(&wish);
    assert_end(&wish, HTTP_ANSWERED, "(null)");
    assert_int_equal(wish.status, 200);
    assert_string_equal(wish.body, "hello");
    assert_string_equal(wish.content_type, "text/plain");
    assert_int_equal(wish.reply.content_length, 5);
    assert_int_equal(wish.reply.retry_after_ms, -1);
    assert_int_equal(wish.reply.range_start, -1);
    assert_true(wish.reply.peer_private);
    assert_non_null(strstr(wish.world->server.last, "GET /a?b=c HTTP/1.1\r\n"));
    assert_non_null(strstr(wish.world->server.last, "User-Agent: test/1\r\n"));
    assert_null(strstr(wish.world->server.last, "Accept-Encoding"));
    assert_null(strstr(wish.world->server.last, "Cookie"));
}

static void test_methods(void **state)
{
    for (int only_once = 0; only_once < 2; only_once++) {
        struct wish wish;
        wish_post(&wish, *state, "/", only_once);
        wish_run(&wish);
        assert_end(&wish, HTTP_ANSWERED, "");
        assert_non_null(strstr(wish.world->server.last, "POST / HTTP/1.1\r\n"));
        assert_non_null(strstr(wish.world->server.last, "Content-Type: application/json\r\n"));
        assert_non_null(strstr(wish.world->server.last, "Content-Length: 7\r\n"));
        assert_null(strstr(wish.world->server.last, "Expect"));
        wish.ask.method = HTTP_DELETE;
        wish.ask.body = NULL;
        wish_run(&wish);
        assert_non_null(strstr(wish.world->server.last, "DELETE / HTTP/1.1\r\n"));
        assert_null(strstr(wish.world->server.last, "Content-Type"));
    }
}

static void check_big_body(struct peer *peer)
{
    size_t whole = whole_request(peer);
    size_t bad = 0;
    for (size_t i = 0; i < 3 << 20; i++)
        bad += peer->in.data[whole - (3 << 20) + i] != (char)('a' + i % 23);
    peer_send(peer, bad == 0 ? "HTTP/1.1 204 Good\r\n\r\n" : "HTTP/1.1 500 Bad\r\n\r\n");
}

static void test_big_body(void **state)
{
    struct wish wish;
    size_t length = 3 << 20;
    char *body = mem_alloc(length);
    for (size_t i = 0; i < length; i++)
        body[i] = (char)('a' + i % 23);
    for (int only_once = 0; only_once < 2; only_once++) {
        wish_post(&wish, *state, "/", only_once);
        wish.world->server.on_request = check_big_body;
        wish.ask.body = body;
        wish.ask.body_length = length;
        wish_run(&wish);
        assert_int_equal(wish.status, 204);
    }
    free(body);
}

static void test_secret(void **state)
{
    struct wish wish;
    char place[200];
    wish_init(&wish, *state, "/");
    snprintf(place, sizeof(place),
             "HTTP/1.1 302 Found\r\nLocation: /next?x=1\r\n"
             "Content-Length: 0\r\n\r\n");
    answers(wish.world, place, send_script);
    wish.ask.secret_name = "x-goog-api-key";
    wish.ask.secret_value = "S3CRET";
    wish_run(&wish);
    assert_int_equal(wish.status, 302);
    assert_int_equal(wish.world->server.requests, 1);
    assert_non_null(strstr(wish.world->server.last, "x-goog-api-key: S3CRET\r\n"));
    snprintf(place, sizeof(place), "%s/next?x=1", wish.world->server.origin);
    assert_string_equal(wish.location, place);

    wish.ask.secret_name = NULL;
    wish_run(&wish);
    assert_null(strstr(wish.world->server.last, "S3CRET"));

    wish.ask.secret_name = "x";
    wish.ask.secret_value = "a\r\nHost: b";
    wish_run(&wish);
    assert_end(&wish, HTTP_NOT_SENT, "line break");
    assert_int_equal(wish.world->server.requests, 2);
}

static void test_range(void **state)
{
    static const struct {
        const char *line;
        int64_t start, total;
    } cases[] = {
        {"Content-Range: bytes 100-104/1000", 100, 1000},
        {"content-range: bytes 100-104/*", 100, -1},
        {"Content-Range: bytes 104-100/1000", -1, -1},
        {"Content-Range: bytes */1000", -1, -1},
        {"Content-Range: bytes -1-4/1000", -1, -1},
        {"Content-Range: bytes 100-104", -1, -1},
        {"Content-Range: bytes 100-104/50", 100, -1},
        {"X: y", -1, -1},
    };
    struct wish wish;
    wish_init(&wish, *state, "/");
    wish.ask.range_from = 100;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "HTTP/1.1 206 Part\r\n%s\r\nContent-Length: 5\r\n\r\nworld",
                 cases[i].line);
        answers(wish.world, text, send_script);
        wish_run(&wish);
        assert_non_null(strstr(wish.world->server.last, "Range: bytes=100-\r\n"));
        assert_int_equal(wish.reply.range_start, cases[i].start);
        assert_int_equal(wish.reply.range_total, cases[i].total);
        assert_string_equal(wish.body, "world");
    }
    wish.ask.range_from = 0;
    wish_run(&wish);
    assert_null(strstr(wish.world->server.last, "Range:"));
}

static void test_retry_after(void **state)
{
    static const struct {
        const char *value;
        int64_t least, most;
    } cases[] = {
        {"7", 7000, 7000},
        {"0", 0, 0},
        {"soon", -1, -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 0, 0},
        {"Fri, 01 Jan 2100 00:00:00 GMT", INT64_C(31622400000), INT64_C(31622400000)},
        {"99999999999999999999", -1, -1},
        {"999999999999", INT64_C(31622400000), INT64_C(31622400000)},
    };
    struct wish wish;
    wish_init(&wish, *state, "/");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text),
                 "HTTP/1.1 429 Slow\r\nRetry-After: %s\r\nContent-Length: 3\r\n\r\nerr",
                 cases[i].value);
        answers(wish.world, text, send_script);
        wish_run(&wish);
        assert_end(&wish, HTTP_ANSWERED, "");
        assert_in_range(wish.reply.retry_after_ms + 1, (uintmax_t)(cases[i].least + 1),
                        (uintmax_t)(cases[i].most + 1));
        assert_string_equal(wish.body, "err");
    }
}

static void test_a_retry_after_that_a_proxy_hands_on(void **state)
{
    static const struct {
        const char *header;
        int64_t expected;
    } cases[] = {
        {"llm_provider-retry-after: 7", 7000},
        {"llm_provider-retry-after: soon", -1},
        {"llm_provider-retry-after: 99999999999", -1},
        {"Retry-After: 3\r\nllm_provider-retry-after: 7", 3000},
    };
    struct wish wish;
    wish_init(&wish, *state, "/");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "HTTP/1.1 429 Slow\r\n%s\r\nContent-Length: 3\r\n\r\nerr",
                 cases[i].header);
        answers(wish.world, text, send_script);
        wish_run(&wish);
        assert_int_equal(wish.reply.retry_after_ms, cases[i].expected);
    }
}

static void test_odd_but_complete(void **state)
{
    static const char *const texts[] = {
        "HTTP/1.0 200 OK\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        "HTTP/1.1 103 Early\r\nRetry-After: 5\r\n\r\nHTTP/1.0 200 OK\r\n\r\nbody",
    };
    struct wish wish;
    wish_init(&wish, *state, "/");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        answers(wish.world, texts[i], send_script_and_close);
        wish_run(&wish);
        assert_end(&wish, HTTP_ANSWERED, "");
        assert_int_equal(wish.status, 200);
        assert_string_equal(wish.body, "body");
        assert_int_equal(wish.reply.retry_after_ms, -1);
    }
}

static void test_bad_answers(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"", 0},
        {"garbage, and more of it\n", 0},
        {"HTTP/1.1 200 OK\r\nContent-Len", 0},
        {"HTTP/1.1 200 OK\r\n", 0},
        {"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\n", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", 200},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort", 200},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort", 200},
        {"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nshort", 0},
    };
    struct wish wish;
    for (int only_once = 0; only_once < 2; only_once++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            wish_post(&wish, *state, "/", only_once);
            answers(wish.world, cases[i].text, send_script_and_close);
            wish_run(&wish);
            if (wish.end != HTTP_NO_ANSWER)
                print_error("case %zu\n", i);
            assert_end(&wish, HTTP_NO_ANSWER, "");
            assert_true(strlen(wish.reason) > 3);
            if (cases[i].status)
                assert_int_equal(wish.status, cases[i].status);
        }
}

static void test_huge_header(void **state)
{
    struct wish wish;
    wish_init(&wish, *state, "/");
    size_t length = (size_t)sprintf(script, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 5000; i++)
        length += (size_t)sprintf(script + length, "X-%d: %040d\r\n", i, i);
    sprintf(script + length, "Content-Length: 0\r\n\r\n");
    wish.world->server.on_request = send_script;
    wish_run(&wish);
    assert_end(&wish, HTTP_NO_ANSWER, "header is longer than");
}

static void test_too_large(void **state)
{
    struct wish wish;
    char text[600];
    const char *heads[] = {"Content-Length: 201", "Connection: close"};
    for (int i = 0; i < 2; i++) {
        wish_init(&wish, *state, "/");
        snprintf(text, sizeof(text), "HTTP/1.1 500 No\r\n%s\r\n\r\n%0201d", heads[i], 7);
        answers(wish.world, text, send_script_and_close);
        wish_run(&wish);
        assert_end(&wish, HTTP_TOO_LARGE, "longer than 200 bytes");
        assert_int_equal(wish.status, 500);
        wish.ask.max_body = 201;
        wish_run(&wish);
        assert_end(&wish, HTTP_ANSWERED, "");
        assert_int_equal(wish.reply.body_length, 201);
    }
}

/* EPOLLERR: libuv gives UV_EBADF for it. libcurl looks by itself 200 ms after connecting, so that
 * is waited for. */
static void test_late_reset(void **state)
{
    struct world *world = *state;
    struct wish wish;
    wish_init(&wish, world, "/");
    wish.ask.total_ms = wish.ask.stall_ms = 0;
    wish.ask.connect_ms = 10 * GIVE_UP_MS;
    world->server.on_request = say_nothing;
    http_start(world->http, &wish.transfer);
    run_until(world, &world->server.requests, 1);
    run_for(world, 300);
    peer_reset(world->server.peers);
    run_until(world, &wish.done, 1);
    assert_end(&wish, HTTP_NO_ANSWER, "");
}

static void test_reset(void **state)
{
    struct wish wish;
    wish_init(&wish, *state, "/");
    answers(wish.world, "", send_script_and_reset);
    wish_run(&wish);
    assert_end(&wish, HTTP_NO_ANSWER, "");
    answers(wish.world, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
            send_script_and_reset);
    wish_run(&wish);
    assert_end(&wish, HTTP_NO_ANSWER, "");
    answers(wish.world, "HTTP/1.1 413 Big\r\nContent-Length: 4\r\n\r\nbody", send_script_and_reset);
    wish_run(&wish);
    assert_end(&wish, HTTP_ANSWERED, "");
    assert_int_equal(wish.status, 413);
}

static void on_accepted_reset(struct peer *peer)
{
    peer_reset(peer);
}

static void test_reset_at_head(void **state)
{
    struct wish wish;
    wish_post(&wish, *state, "/", true);
    wish.world->server.on_head = on_accepted_reset;
    wish_run(&wish);
    assert_end(&wish, HTTP_NO_ANSWER, "");
    assert_int_equal(wish.world->server.accepted, 1);
}

static void test_never_sent(void **state)
{
    struct world *world = *state;
    struct wish wish;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int bound = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(bound, (struct sockaddr *)&address, size), 0);
    getsockname(bound, (struct sockaddr *)&address, &size);
    char refused[64], tls[64];
    snprintf(refused, sizeof(refused), "http://127.0.0.1:%d/", ntohs(address.sin_port));
    snprintf(tls, sizeof(tls), "https%s/", world->server.origin + 4);
    const char *const urls[] = {
        refused,          tls, "http://none.test/",      "ftp://127.0.0.1/", "file:///etc/passwd",
        "not an address", "",  "http://127.0.0.1:99999/"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        wish_post(&wish, world, urls[i], true);
        answers(world, "garbage\n", send_script_and_close);
        world->server.on_head = NULL;
        wish.ask.total_ms = 0;
        if (urls[i] == tls) /* the server takes the ClientHello for an unfinished header */
            wish.ask.connect_ms = 200;
        wish_run(&wish);
        assert_end(&wish, HTTP_NOT_SENT, "");
        assert_true(strlen(wish.reason) > 3);
        assert_int_equal(wish.status, 0);
    }
    assert_int_equal(world->server.requests, 0);
    close(bound);
}

/* A listener whose queue is full drops what knocks. */
static void test_connect_timeout(void **state)
{
    struct wish wish;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int knocking[3];
    char url[64];
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 0), 0);
    getsockname(listener, (struct sockaddr *)&address, &size);
    for (size_t i = 0; i < 3; i++) {
        knocking[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(knocking[i], (struct sockaddr *)&address, size);
    }
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(address.sin_port));
    wish_post(&wish, *state, url, true);
    wish.ask.connect_ms = 100;
    wish.ask.stall_ms = 10;
    wish_run(&wish);
    assert_end(&wish, HTTP_NOT_SENT, "");
    for (size_t i = 0; i < 3; i++)
        close(knocking[i]);
    close(listener);
}

/* The last transfer ends by a time-out, when no handle runs any more. */
static void test_time_outs(void **state)
{
    struct wish wish;
    wish_init(&wish, *state, "/");
    wish.world->server.on_request = say_nothing;
    wish.ask.total_ms = 50;
    wish_run(&wish);
    assert_end(&wish, HTTP_NO_ANSWER, "timed out");
    wish.ask.total_ms = 0;
    wish.ask.stall_ms = 50;
    wish_run(&wish);
    assert_end(&wish, HTTP_NO_ANSWER, "no progress for 50 ms");
    answers(wish.world, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", send_script);
    wish_run(&wish);
    assert_end(&wish, HTTP_NO_ANSWER, "no progress for 50 ms");
    assert_int_equal(wish.status, 200);
}

static void test_answer_while_sending(void **state)
{
    struct wish wish;
    size_t length = 8 << 20;
    char *body = mem_alloc(length);
    wish_post(&wish, *state, "/", true);
    wish.ask.body = body;
    wish.ask.body_length = length;
    snprintf(script, sizeof(script),
             "HTTP/1.1 400 Bad\r\nConnection: close\r\n"
             "Content-Length: 3\r\n\r\nbad");
    wish.world->server.on_head = send_script;
    wish_run(&wish);
    assert_end(&wish, HTTP_ANSWERED, "");
    assert_int_equal(wish.status, 400);
    assert_string_equal(wish.body, "bad");
    free(body);
}

static void test_private_peer(void **state)
{
    struct world *world = *state;
    struct wish wish;
    char url[160];
    wish_init(&wish, world, "/");
    wish.ask.allow_private = false;
    wish_run(&wish);
    assert_end(&wish, HTTP_NOT_SENT, "refused: 127.0.0.1 is a private address");

    snprintf(url, sizeof(url), "http://one.test%s/", strrchr(world->server.origin, ':'));
    wish_init(&wish, world, url);
    wish.ask.allow_private = false;
    wish_run(&wish);
    assert_end(&wish, HTTP_NOT_SENT, "refused: one.test is a private address");
    run_for(world, 20);
    assert_int_equal(world->server.accepted, 0);

    wish.ask.allow_private = true;
    wish_run(&wish);
    assert_end(&wish, HTTP_ANSWERED, "");
    wish.ask.allow_private = false; /* the connection stands; it must not be used */
    wish_run(&wish);
    assert_end(&wish, HTTP_NOT_SENT, "refused: one.test is a private address");
    assert_int_equal(world->server.requests, 1);
}

static void test_second_address(void **state)
{
    struct world *world = *state;
    struct wish wish;
    char url[160];
    snprintf(url, sizeof(url), "http://two.test%s/", strrchr(world->server.origin, ':'));
    wish_init(&wish, world, url);
    wish_run(&wish);
    assert_end(&wish, HTTP_ANSWERED, "");
    assert_int_equal(world->server.accepted, 1);
}

static void test_proxy(void **state)
{
    struct world *world = *state;
    struct wish wish;
    wish_init(&wish, world, "http://8.8.8.8/x");
    wish.ask.allow_private = false;
    setenv("http_proxy", world->server.origin, 1);
    setenv("no_proxy", "*", 1);
    wish_run(&wish);
    assert_end(&wish, HTTP_ANSWERED, "");
    assert_non_null(strstr(world->server.last, "GET http://8.8.8.8/x HTTP/1.1\r\n"));
    assert_false(wish.reply.peer_private);
    wish_init(&wish, world, "http://10.0.0.1/x");
    wish.ask.allow_private = false;
    wish_run(&wish);
    assert_end(&wish, HTTP_NOT_SENT, "refused: 10.0.0.1 is");
    unsetenv("http_proxy");
    unsetenv("no_proxy");
}

static void test_new(void **state)
{
    struct world *world = *state;
    struct http *http = NULL;
    struct error error = {0};
    struct http_config config = {.at_once = {1, 1, 1, 1}, .ca_file = "/nowhere/ca.pem"};
    assert_int_equal(http_new(&world->loop, &config, &http, &error), -1);
    assert_non_null(strstr(error.message, "/nowhere/ca.pem"));
    config = (struct http_config){.at_once = {1, 1, 1}};
    assert_int_equal(http_new(&world->loop, &config, &http, &error), -1);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_get),
        WITH_WORLD(test_methods),
        WITH_WORLD(test_big_body),
        WITH_WORLD(test_secret),
        WITH_WORLD(test_range),
        WITH_WORLD(test_retry_after),
        WITH_WORLD(test_a_retry_after_that_a_proxy_hands_on),
        WITH_WORLD(test_odd_but_complete),
        WITH_WORLD(test_bad_answers),
        WITH_WORLD(test_huge_header),
        WITH_WORLD(test_too_large),
        WITH_WORLD(test_late_reset),
        WITH_WORLD(test_reset),
        WITH_WORLD(test_reset_at_head),
        WITH_WORLD(test_never_sent),
        WITH_WORLD(test_connect_timeout),
        WITH_WORLD(test_time_outs),
        WITH_WORLD(test_answer_while_sending),
        WITH_WORLD(test_private_peer),
        WITH_WORLD(test_second_address),
        WITH_WORLD(test_proxy),
        WITH_WORLD(test_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
