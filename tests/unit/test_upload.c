/* Bodies with files in them: what arrives, what is refused before anything leaves, and that nothing
 * is touched any more once a transfer was taken back. */
#include "daemon/io/upload.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/http_fixture.h"

#define PARTS_MAX 4
#define LARGE     (8 << 20)

static char folder[64];

static char *path_of(const char *name)
{
    return mem_format("%s/%s", folder, name);
}

/* Fills with bytes that differ from one place to the next. */
static char *make_file(const char *name, size_t size)
{
    char *path = path_of(name);
    char *bytes = mem_alloc(size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)((i * 2654435761U) >> 13);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (size_t done = 0; done < size;) {
        ssize_t wrote = write(fd, bytes + done, size - done);
        assert_true(wrote > 0);
        done += (size_t)wrote;
    }
    close(fd);
    free(bytes);
    return path;
}

static void make_hole(const char *name, off_t size)
{
    char *path = path_of(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
    free(path);
}

static void append_file(struct buf *out, const char *path, bool base64)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &status), 0);
    size_t size = (size_t)status.st_size;
    unsigned char *raw = mem_alloc(size + 1);
    assert_int_equal(read(fd, raw, size), size);
    close(fd);
    if (base64) {
        unsigned char *text = mem_alloc(size / 3 * 4 + 8);
        buf_add(out, text, (size_t)EVP_EncodeBlock(text, raw, (int)size));
        free(text);
    } else {
        buf_add(out, raw, size);
    }
    free(raw);
}

/* ---- a wish with parts ---- */

struct plan {
    struct wish wish; /* first */
    const char *body;
    struct http_part parts[PARTS_MAX]; /* paths are borrowed */
    size_t count;
    struct buf expected, got;
};

static bool plan_prepare(struct http_transfer *transfer, struct http_request *request)
{
    struct plan *plan = (struct plan *)transfer;
    assert_true(wish_prepare(transfer, request));
    request->parts = mem_alloc(PARTS_MAX * sizeof(*request->parts));
    request->part_count = plan->count;
    memcpy(request->parts, plan->parts, sizeof(plan->parts));
    for (size_t i = 0; i < plan->count; i++)
        request->parts[i].path = mem_strdup(plan->parts[i].path);
    return true;
}

static void plan_init(struct plan *plan, struct world *world, const char *body)
{
    *plan = (struct plan){.body = body};
    wish_init(&plan->wish, world, "/upload");
    plan->wish.transfer.lane = HTTP_UPLOADS;
    plan->wish.transfer.prepare = plan_prepare;
    plan->wish.ask.method = HTTP_POST;
    plan->wish.ask.body = (char *)(uintptr_t)body;
    plan->wish.ask.body_length = strlen(body);
    buf_init(&plan->expected, 64 << 20);
    buf_init(&plan->got, 64 << 20);
    world->server.last[0] = '\0';
}

static void plan_add(struct plan *plan, size_t at, char *path, bool base64)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    plan->parts[plan->count++] = (struct http_part){
        .at = at, .path = path, .bytes = (uint64_t)status.st_size, .base64 = base64};
}

static void plan_free(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        free(plan->parts[i].path);
    buf_free(&plan->expected);
    buf_free(&plan->got);
}

static struct plan *answering; /* whose body the server keeps */

static void keep_body(struct peer *peer)
{
    const char *end = strstr(buf_text(&peer->in), "\r\n\r\n") + 4;
    size_t length = strtoul(strcasestr(peer->in.data, "\r\ncontent-length:") + 17, NULL, 10);
    buf_add(&answering->got, end, length);
    answer_hello(peer);
}

static void plan_run(struct plan *plan)
{
    size_t from = 0;
    for (size_t i = 0; i < plan->count; i++) {
        buf_add(&plan->expected, plan->body + from, plan->parts[i].at - from);
        from = plan->parts[i].at;
        append_file(&plan->expected, plan->parts[i].path, plan->parts[i].base64);
    }
    buf_add_text(&plan->expected, plan->body + from);
    answering = plan;
    plan->wish.world->server.on_request = keep_body;
    wish_run(&plan->wish);
    assert_int_equal(plan->wish.end, HTTP_ANSWERED);
    assert_string_equal(plan->wish.body, "hello");
    assert_int_equal(plan->got.length, plan->expected.length);
    assert_memory_equal(plan->got.data, plan->expected.data, plan->expected.length);
    plan->wish.world->server.on_request = NULL;
}

/* ---- what arrives ---- */

static void test_sizes(void **state)
{
    struct world *world = *state;
    static const size_t sizes[] = {
        0, 1, 2, 3, 4, UPLOAD_PIECE - 1, UPLOAD_PIECE, UPLOAD_PIECE + 1, 2 * UPLOAD_PIECE, 300001};
    for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct plan plan;
        plan_init(&plan, world, "{\"image\":\"\"}");
        plan_add(&plan, 10, make_file("one", sizes[i / 2]), i % 2);
        plan_run(&plan);
        plan_free(&plan);
    }
    assert_null(strcasestr(world->server.last, "transfer-encoding"));
    assert_null(strcasestr(world->server.last, "expect"));
    assert_non_null(strcasestr(world->server.last, "content-type: application/json\r\n"));
}

static void test_several_parts(void **state)
{
    struct plan plan;
    plan_init(&plan, *state, "begin--end");
    plan_add(&plan, 0, make_file("one", 5), true);
    plan_add(&plan, 5, make_file("two", 100000), false);
    plan_add(&plan, 5, make_file("three", 49153), true);
    plan_add(&plan, 10, make_file("four", 1), true);
    plan_run(&plan);
    plan_free(&plan);
}

static void test_only_a_file(void **state)
{
    struct plan plan;
    plan_init(&plan, *state, "");
    plan_add(&plan, 0, make_file("one", LARGE), false);
    plan_run(&plan);
    plan_free(&plan);
}

static void test_headers(void **state)
{
    struct world *world = *state;
    struct plan plan;
    char secret[] = "s3cret";
    plan_init(&plan, world, "{}");
    plan_add(&plan, 1, make_file("one", 10), true);
    plan.wish.ask.secret_name = "x-goog-api-key";
    plan.wish.ask.secret_value = secret;
    plan.wish.ask.header = "X-More: yes";
    http_start(world->http, &plan.wish.transfer);
    run_until(world, &plan.wish.prepared, 1);
    memset(secret, 'x', sizeof(secret) - 1); /* it is only needed during `prepare` */
    run_until(world, &plan.wish.done, 1);
    assert_int_equal(plan.wish.end, HTTP_ANSWERED);
    assert_non_null(strstr(world->server.last, "x-goog-api-key: s3cret\r\n"));
    assert_non_null(strstr(world->server.last, "X-More: yes\r\n"));
    plan_free(&plan);
}

static void test_content_type(void **state)
{
    struct world *world = *state;
    struct wish wish;
    wish_post(&wish, world, "/form", false);
    wish.ask.content_type = mem_strdup("application/x-www-form-urlencoded");
    wish.ask.wanted = "Content-Length";
    wish_run(&wish);
    assert_int_equal(wish.end, HTTP_ANSWERED);
    assert_non_null(strstr(world->server.last, "application/x-www-form-urlencoded\r\n"));
    assert_null(strstr(world->server.last, "application/json"));
}

/* ---- what is refused before anything leaves ---- */

static void assert_gone(struct plan *plan, const char *reason)
{
    struct world *world = plan->wish.world;
    wish_run(&plan->wish);
    assert_int_equal(plan->wish.end, HTTP_NOT_SENT);
    assert_true(plan->wish.reply.input_gone);
    assert_string_equal(plan->wish.reason, reason);
    assert_int_equal(world->server.accepted, 0);
}

static void test_gone(void **state)
{
    struct plan plan;
    plan_init(&plan, *state, "{}");
    plan_add(&plan, 1, make_file("one", 10), true);
    plan_add(&plan, 1, make_file("two", 10), true);
    assert_int_equal(unlink(plan.parts[1].path), 0);
    assert_gone(&plan, "input 2 is gone");
    plan_free(&plan);
}

static void test_changed(void **state)
{
    struct plan plan;
    plan_init(&plan, *state, "{}");
    plan_add(&plan, 1, make_file("one", 10), true);
    free(make_file("one", 11));
    assert_gone(&plan, "input 1 has changed: it had 10 bytes");
    plan_free(&plan);
}

static void test_no_links(void **state)
{
    struct plan plan;
    plan_init(&plan, *state, "{}");
    char *target = make_file("one", 10), *link = path_of("link");
    assert_int_equal(symlink(target, link), 0);
    plan_add(&plan, 1, link, true);
    assert_gone(&plan, "input 1 cannot be read: Too many levels of symbolic links");
    free(target);
    plan_free(&plan);
}

static void test_no_folders(void **state)
{
    struct plan plan;
    plan_init(&plan, *state, "{}");
    plan_add(&plan, 1, mem_strdup(folder), true);
    wish_run(&plan.wish);
    assert_int_equal(plan.wish.end, HTTP_NOT_SENT);
    assert_true(plan.wish.reply.input_gone);
    plan_free(&plan);
}

/* ---- what goes wrong on the way ---- */

static char *to_be_cut;

static void cut_file(struct peer *peer)
{
    (void)peer;
    assert_int_equal(truncate(to_be_cut, 0), 0);
}

static void test_shrinks(void **state)
{
    struct world *world = *state;
    struct plan plan;
    plan_init(&plan, world, "{}");
    make_hole("large", 64 << 20); /* more than sockets hold */
    to_be_cut = path_of("large");
    plan_add(&plan, 1, to_be_cut, true);
    world->server.on_head = cut_file;
    wish_run(&plan.wish);
    assert_int_equal(plan.wish.end, HTTP_NO_ANSWER);
    assert_string_equal(plan.wish.reason, "input 1 has become shorter: it had 67108864 bytes");
    assert_int_equal(world->server.requests, 0);
    plan_free(&plan);
}

static void refuse_early(struct peer *peer)
{
    peer_send(peer, "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno");
    uv_read_stop((uv_stream_t *)&peer->tcp);
}

/* The answer may come before the body has left. */
static void test_early_answer(void **state)
{
    struct world *world = *state;
    struct plan plan;
    plan_init(&plan, world, "{}");
    make_hole("large", 64 << 20);
    plan_add(&plan, 1, path_of("large"), true);
    world->server.on_head = refuse_early;
    wish_run(&plan.wish);
    assert_int_equal(plan.wish.end, HTTP_ANSWERED);
    assert_int_equal(plan.wish.status, 400);
    assert_string_equal(plan.wish.body, "no");
    plan_free(&plan);
}

static void reset_peer(struct peer *peer)
{
    peer_reset(peer);
}

static void test_reset(void **state)
{
    struct world *world = *state;
    struct plan plan;
    plan_init(&plan, world, "{}");
    make_hole("large", 64 << 20);
    plan_add(&plan, 1, path_of("large"), true);
    world->server.on_head = reset_peer;
    wish_run(&plan.wish);
    assert_int_equal(plan.wish.end, HTTP_NO_ANSWER);
    assert_int_equal(world->server.accepted, 1); /* not sent again */
    plan_free(&plan);
}

/* ---- time ---- */

static void stop_reading(struct peer *peer)
{
    uv_read_stop((uv_stream_t *)&peer->tcp);
}

/* Sending may take longer than the answer may; without an answer it ends. */
static void test_total_counts_from_the_end(void **state)
{
    struct world *world = *state;
    struct plan plan;
    plan_init(&plan, world, "{}");
    plan_add(&plan, 1, make_file("large", LARGE), false);
    plan.wish.ask.total_ms = 1000;
    world->server.on_head = stop_reading;
    http_start(world->http, &plan.wish.transfer);
    run_until(world, &world->server.heads, 1);
    run_for(world, 1500);
    assert_int_equal(plan.wish.done, 0);
    uv_read_start((uv_stream_t *)&world->server.peers->tcp, give_room, on_peer_read);
    run_until(world, &plan.wish.done, 1);
    assert_int_equal(plan.wish.end, HTTP_ANSWERED);
    plan_free(&plan);
}

static void say_nothing(struct peer *peer)
{
    (void)peer;
}

static void test_overdue(void **state)
{
    struct world *world = *state;
    struct plan plan;
    plan_init(&plan, world, "{}");
    plan_add(&plan, 1, make_file("one", 100000), true);
    plan.wish.ask.total_ms = 50;
    world->server.on_request = say_nothing;
    wish_run(&plan.wish);
    assert_int_equal(plan.wish.end, HTTP_NO_ANSWER);
    assert_string_equal(plan.wish.reason, "no answer within 50 ms");
    plan_free(&plan);
}

static void test_stalls(void **state)
{
    struct world *world = *state;
    struct plan plan;
    plan_init(&plan, world, "{}");
    make_hole("large", 64 << 20);
    plan_add(&plan, 1, path_of("large"), true);
    plan.wish.ask.stall_ms = 100;
    world->server.on_head = stop_reading;
    wish_run(&plan.wish);
    assert_int_equal(plan.wish.end, HTTP_NO_ANSWER);
    assert_string_equal(plan.wish.reason, "no progress for 100 ms");
    plan_free(&plan);
}

/* ---- taken back ---- */

/* After each number of turns: while it is opened, between reads, and with one under way. */
static void test_cancel_any_time(void **state)
{
    struct world *world = *state;
    struct plan plan;
    plan_init(&plan, world, "{}");
    plan_add(&plan, 1, make_file("one", 10 * UPLOAD_PIECE), true);
    plan_add(&plan, 1, make_file("two", 10 * UPLOAD_PIECE), true);
    for (int turns = 0; turns < 60; turns++) {
        http_start(world->http, &plan.wish.transfer);
        for (int i = 0; i < turns; i++)
            uv_run(&world->loop, UV_RUN_NOWAIT);
        http_cancel(world->http, &plan.wish.transfer);
    }
    plan.wish.done = 0;
    wish_run(&plan.wish); /* the slots are all there */
    assert_int_equal(plan.wish.end, HTTP_ANSWERED);
    plan_free(&plan);
}

static void test_close_while_reading(void **state)
{
    struct world *world = *state;
    struct plan plans[4];
    for (size_t i = 0; i < 4; i++) {
        plan_init(&plans[i], world, "{}");
        plan_add(&plans[i], 1, make_file("one", 10 * UPLOAD_PIECE), true);
        http_start(world->http, &plans[i].wish.transfer);
        for (size_t turns = 0; turns < i; turns++)
            uv_run(&world->loop, UV_RUN_NOWAIT);
    }
    http_close(world->http, on_http_closed, world);
    for (size_t i = 0; i < 4; i++)
        plan_free(&plans[i]);
}

static void test_unwanted(void **state)
{
    struct world *world = *state;
    struct plan plan;
    plan_init(&plan, world, "{}");
    plan_add(&plan, 1, make_file("one", 10), true);
    http_start(world->http, &plan.wish.transfer);
    http_cancel(world->http, &plan.wish.transfer);
    run_for(world, 20);
    assert_int_equal(plan.wish.prepared, 0);
    plan_free(&plan);
}

/* ---- memory ---- */

struct taker {
    struct upload *upload;
    uint64_t taken;
    int ended;
};

static void take_all(void *arg)
{
    struct taker *taker = arg;
    char room[16 * 1024];
    size_t length;
    enum upload_step step;
    while ((step = upload_take(taker->upload, room, sizeof(room), &length)) == UPLOAD_TAKEN) {
        taker->taken += length;
        if (length == 0)
            break;
    }
    taker->ended = step != UPLOAD_WAIT;
}

static void on_opened(void *arg, bool well)
{
    assert_true(well);
    take_all(arg);
}

static void test_memory(void **state)
{
    struct world *world = *state;
    static const struct upload_hooks hooks = {on_opened, take_all};
    struct rusage before, after;
    struct http_part *part = mem_alloc(sizeof(*part));
    struct taker taker = {0};
    make_hole("huge", 256 << 20);
    *part = (struct http_part){.path = path_of("huge"), .bytes = 256 << 20, .base64 = true};
    getrusage(RUSAGE_SELF, &before);
    taker.upload = upload_open(&world->loop, "", 0, part, 1, &hooks, &taker);
    run_until(world, &taker.ended, 1);
    getrusage(RUSAGE_SELF, &after);
    assert_true(upload_is_at_end(taker.upload));
    assert_int_equal(taker.taken, upload_length(taker.upload));
    assert_in_range(after.ru_maxrss - before.ru_maxrss, 0, 4096); /* KiB */
    upload_free(taker.upload);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/veod-upload-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"one", "two", "three", "four", "link", "large", "huge"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = path_of(names[i]);
        (void)unlink(path);
        free(path);
    }
    return rmdir(folder);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_sizes),
        WITH_WORLD(test_several_parts),
        WITH_WORLD(test_only_a_file),
        WITH_WORLD(test_headers),
        WITH_WORLD(test_content_type),
        WITH_WORLD(test_gone),
        WITH_WORLD(test_changed),
        WITH_WORLD(test_no_links),
        WITH_WORLD(test_no_folders),
        WITH_WORLD(test_shrinks),
        WITH_WORLD(test_early_answer),
        WITH_WORLD(test_reset),
        WITH_WORLD(test_total_counts_from_the_end),
        WITH_WORLD(test_overdue),
        WITH_WORLD(test_stalls),
        WITH_WORLD(test_cancel_any_time),
        WITH_WORLD(test_close_while_reading),
        WITH_WORLD(test_unwanted),
        WITH_WORLD(test_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
