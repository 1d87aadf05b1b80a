/* The floor that veod is measured against: libcurl's multi on libuv and nothing else. It submits
 * generations, polls each at a fixed interval, downloads the results and forgets them; no store, no
 * commands, no retries: the first thing that goes wrong ends it.
 *
 * As veod it keeps a few pooled handles with a queue of its own in front of them, one watcher for
 * each socket, and one timer. It prints one JSON object. */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "proto/json.h"
#include "proto/jsonw.h"
#include "proto/mem.h"
#include "tests/bench/glue.h"

#define REPLY_MAX ((size_t)4 << 20)

enum step { STEP_SUBMIT, STEP_POLL, STEP_FILE, STEP_DOWNLOAD };
enum lane_name { CALLS, TRANSFERS, LANES };

struct job {
    struct job *next;
    char *operation;
    char *uri;
    int64_t due;        /* of its next poll, steady ms */
    int64_t noticed_at; /* Unix ms */
    enum step step;
};

struct slot {
    struct slot *next;
    struct lane *lane;
    struct job *job;
    CURL *easy;
    int fd; /* of the download's .part */
    struct buf reply;
    struct buf url;
    struct buf body;
};

struct queue {
    struct job *first, *last;
};

struct lane {
    struct queue waiting;
    struct slot *free;
    size_t at_once;
};

static struct {
    const char *base_url;
    const char *model;
    const char *output; /* a folder; NULL: what arrives is dropped */
    bool interactions;
    size_t jobs;
    size_t in_flight;
    int64_t poll_ms;
} options = {.model = "veo-3.1-generate-preview", .jobs = 1000, .in_flight = 500, .poll_ms = 25};

static struct {
    uv_timer_t poll_timer;
    struct lane lanes[LANES];
    struct curl_slist *headers;
    struct job *jobs;
    size_t started, ended;
    struct queue polls; /* in the order in which they are due */
    uint64_t polls_made, requests, bytes;
} the;

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void queue_put(struct queue *queue, struct job *job)
{
    job->next = NULL;
    *(queue->first ? &queue->last->next : &queue->first) = job;
    queue->last = job;
}

static struct job *queue_take(struct queue *queue)
{
    struct job *job = queue->first;
    queue->first = job->next;
    return job;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct slot *slot = arg;
    the.bytes += size * count;
    if (slot->job->step != STEP_DOWNLOAD)
        buf_add(&slot->reply, data, size * count);
    else if (options.output)
        check(write(slot->fd, data, size * count) == (ssize_t)(size * count), "write", "failed");
    return size * count;
}

static void file_path(const struct slot *slot, const char *suffix, char ret[PATH_MAX])
{
    snprintf(ret, PATH_MAX, "%s/%zu.mp4%s", options.output, (size_t)(slot->job - the.jobs), suffix);
}

static void open_file(struct slot *slot)
{
    char path[PATH_MAX];
    file_path(slot, ".part", path);
    slot->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    check(slot->fd >= 0, path, "cannot be written");
}

static void close_file(const struct slot *slot)
{
    char from[PATH_MAX], to[PATH_MAX];
    file_path(slot, ".part", from);
    file_path(slot, "", to);
    close(slot->fd);
    check(rename(from, to) == 0, to, "cannot be named");
}

/* ---- requests ---- */

static void write_submission(struct buf *url, struct buf *body, size_t number)
{
    if (options.interactions) {
        buf_addf(url, "%s/v1beta/interactions", options.base_url);
        buf_addf(body,
                 "{\"model\":\"%s\",\"input\":[{\"type\":\"text\",\"text\":\"bench %zu\"}],"
                 "\"response_format\":{\"type\":\"video\",\"delivery\":\"uri\"},"
                 "\"background\":true,\"store\":true}",
                 options.model, number);
    } else {
        buf_addf(url, "%s/v1beta/models/%s:predictLongRunning", options.base_url, options.model);
        buf_addf(body, "{\"instances\":[{\"prompt\":\"bench %zu\"}]}", number);
    }
}

static void write_request(struct slot *slot)
{
    struct job *job = slot->job;
    buf_reset(&slot->url);
    buf_reset(&slot->body);
    switch (job->step) {
    case STEP_SUBMIT:
        write_submission(&slot->url, &slot->body, (size_t)(job - the.jobs));
        break;
    case STEP_POLL:
        buf_addf(&slot->url, "%s/v1beta/%s%s", options.base_url,
                 options.interactions ? "interactions/" : "", job->operation);
        break;
    case STEP_FILE:
        buf_add(&slot->url, job->uri, (size_t)(strstr(job->uri, ":download") - job->uri));
        break;
    case STEP_DOWNLOAD:
        buf_add_text(&slot->url, job->uri);
        break;
    }
}

static void begin(struct slot *slot)
{
    write_request(slot);
    buf_reset(&slot->reply);
    curl_easy_setopt(slot->easy, CURLOPT_URL, buf_text(&slot->url));
    if (slot->body.length) {
        curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE, (long)slot->body.length);
        curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, buf_text(&slot->body));
    } else {
        curl_easy_setopt(slot->easy, CURLOPT_HTTPGET, 1L);
    }
    the.requests++;
    the.polls_made += slot->job->step == STEP_POLL;
    if (slot->job->step == STEP_DOWNLOAD && options.output)
        open_file(slot);
    curl_multi_add_handle(glue.multi, slot->easy);
}

static void send_waiting(struct lane *lane)
{
    while (lane->free && lane->waiting.first) {
        struct slot *slot = lane->free;
        lane->free = slot->next;
        slot->job = queue_take(&lane->waiting);
        begin(slot);
    }
}

static void go(struct job *job, enum step step)
{
    job->step = step;
    queue_put(&the.lanes[step == STEP_DOWNLOAD ? TRANSFERS : CALLS].waiting, job);
}

static void start_jobs(void)
{
    while (the.started < options.jobs && the.started - the.ended < options.in_flight)
        go(&the.jobs[the.started++], STEP_SUBMIT);
}

static void on_poll_timer(uv_timer_t *timer)
{
    int64_t now = (int64_t)uv_now(glue.loop);
    while (the.polls.first && the.polls.first->due <= now) {
        struct job *job = queue_take(&the.polls);
        go(job, job->uri ? STEP_FILE : STEP_POLL);
    }
    if (the.polls.first)
        uv_timer_start(timer, on_poll_timer, (uint64_t)(the.polls.first->due - now), 0);
    send_waiting(&the.lanes[CALLS]);
}

static void poll_later(struct job *job)
{
    job->due = (int64_t)uv_now(glue.loop) + options.poll_ms;
    queue_put(&the.polls, job);
    if (!uv_is_active((uv_handle_t *)&the.poll_timer))
        uv_timer_start(&the.poll_timer, on_poll_timer, (uint64_t)options.poll_ms, 0);
}

/* ---- answers ---- */

static struct json_value find_video(struct json_value root)
{
    struct json_value uri = json_path(root, "response.generateVideoResponse."
                                            "generatedSamples.0.video.uri");
    for (struct json_iter it = json_iter(json_get(root, "steps")); json_next(&it);)
        if (json_equals(json_get(it.value, "type"), "model_output"))
            uri = json_path(it.value, "content.0.uri");
    return uri;
}

static void take_poll(struct job *job, struct json_value root)
{
    bool done = false;
    json_bool(json_get(root, "done"), &done);
    if (!done && !json_equals(json_get(root, "status"), "completed")) {
        poll_later(job);
        return;
    }
    job->noticed_at = wall_ms();
    job->uri = json_strdup(find_video(root), NULL);
    check(job->uri && strstr(job->uri, ":download"), job->operation, "it ended without a video");
    go(job, options.interactions ? STEP_FILE : STEP_DOWNLOAD);
}

static void take_answer(struct slot *slot)
{
    struct job *job = slot->job;
    struct error error;
    struct json *doc =
        json_parse(slot->reply.data, slot->reply.length, (struct json_limits){0}, &error);
    check(doc != NULL, "an answer", doc ? "" : error.message);
    struct json_value root = json_root(doc);
    if (job->step == STEP_SUBMIT) {
        job->operation = json_strdup(json_get(root, options.interactions ? "id" : "name"), NULL);
        check(job->operation != NULL, "a submission's answer", "no name");
        poll_later(job);
    } else if (job->step == STEP_POLL) {
        take_poll(job, root);
    } else if (json_equals(json_get(root, "state"), "ACTIVE")) {
        go(job, STEP_DOWNLOAD);
    } else {
        poll_later(job);
    }
    json_free(doc);
}

static void end_job(struct job *job)
{
    free(job->operation);
    free(job->uri);
    job->operation = job->uri = NULL;
    the.ended++;
    start_jobs();
}

static void finish(struct slot *slot, CURLcode code)
{
    long status = 0, redirects = 0;
    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(slot->easy, CURLINFO_REDIRECT_COUNT, &redirects);
    the.requests += (uint64_t)redirects;
    check(code == CURLE_OK, buf_text(&slot->url), curl_easy_strerror(code));
    check(status == 200, buf_text(&slot->url), buf_text(&slot->reply));
    curl_multi_remove_handle(glue.multi, slot->easy);
    if (slot->job->step == STEP_DOWNLOAD && options.output)
        close_file(slot);
    if (slot->job->step == STEP_DOWNLOAD)
        end_job(slot->job);
    else
        take_answer(slot);
    slot->next = slot->lane->free;
    slot->lane->free = slot;
}

static void drain(void)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(glue.multi, &left))) {
        struct slot *slot;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
        finish(slot, code);
    }
    for (size_t i = 0; i < LANES; i++)
        send_waiting(&the.lanes[i]);
    if (the.ended == options.jobs)
        uv_stop(glue.loop);
}

/* ---- from start to end ---- */

static void add_slot(struct lane *lane, bool downloads)
{
    struct slot *slot = mem_alloc(sizeof(*slot));
    CURL *easy = curl_easy_init();
    *slot = (struct slot){.next = lane->free, .lane = lane, .easy = easy};
    lane->free = slot;
    buf_init(&slot->reply, REPLY_MAX);
    buf_init(&slot->url, REPLY_MAX);
    buf_init(&slot->body, REPLY_MAX);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, the.headers);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 120000L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, downloads ? 128 * 1024L : 16 * 1024L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
    glue_adopt(easy);
}

static void set_up(void)
{
    glue_init(drain, (long)(the.lanes[CALLS].at_once + the.lanes[TRANSFERS].at_once));
    uv_timer_init(glue.loop, &the.poll_timer);
    the.headers = curl_slist_append(NULL, "Expect:");
    the.headers = curl_slist_append(the.headers, "Content-Type: application/json");
    the.headers = curl_slist_append(the.headers, "x-goog-api-key: bench");
    for (size_t lane = 0; lane < LANES; lane++)
        for (size_t i = 0; i < the.lanes[lane].at_once; i++)
            add_slot(&the.lanes[lane], lane == TRANSFERS);
    the.jobs = mem_alloc(options.jobs * sizeof(*the.jobs));
}

static double milliseconds(struct timeval time)
{
    return (double)time.tv_sec * 1000 + (double)time.tv_usec / 1000;
}

static double cpu_ms(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime);
}

/* ru_maxrss would be the parent's if that one was larger. */
static int64_t peak_kib(void)
{
    long long kib = 0;
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");
    while (file && kib == 0 && fgets(line, sizeof(line), file))
        (void)sscanf(line, "VmHWM: %lld", &kib);
    if (file)
        fclose(file);
    return kib;
}

static void print_numbers(double cpu, uint64_t wall)
{
    struct buf text;
    struct jsonw w;
    buf_init(&text, (size_t)1 << 30);
    jsonw_init(&w, &text);
    jsonw_object(&w);
    jsonw_member_uint(&w, "jobs", the.ended);
    jsonw_member_double(&w, "cpu_ms", cpu);
    jsonw_member_double(&w, "wall_ms", (double)wall / 1e6);
    jsonw_member_int(&w, "peak_kib", peak_kib());
    jsonw_member_uint(&w, "connections", glue.connections);
    jsonw_member_uint(&w, "polls", the.polls_made);
    jsonw_member_uint(&w, "requests", the.requests);
    jsonw_member_uint(&w, "bytes", the.bytes);
    jsonw_name(&w, "noticed_at"); /* of "bench 0", "bench 1", … */
    jsonw_array(&w);
    for (size_t i = 0; i < options.jobs; i++)
        jsonw_int(&w, the.jobs[i].noticed_at);
    jsonw_array_end(&w);
    jsonw_object_end(&w);
    puts(buf_text(&text));
    buf_free(&text);
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"base-url", required_argument, NULL, 'b'},  {"dialect", required_argument, NULL, 'd'},
        {"model", required_argument, NULL, 'm'},     {"jobs", required_argument, NULL, 'n'},
        {"in-flight", required_argument, NULL, 'i'}, {"poll-ms", required_argument, NULL, 'p'},
        {"calls", required_argument, NULL, 'c'},     {"transfers", required_argument, NULL, 't'},
        {"output", required_argument, NULL, 'o'},    {NULL, 0, NULL, 0},
    };
    the.lanes[CALLS].at_once = 64;
    the.lanes[TRANSFERS].at_once = 16;
    for (int code; (code = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        size_t number = code == '?' ? 0 : strtoul(optarg, NULL, 10);
        switch (code) {
        case 'b':
            options.base_url = optarg;
            break;
        case 'd':
            options.interactions = strcmp(optarg, "interactions") == 0;
            break;
        case 'o':
            options.output = optarg;
            break;
        case 'm':
            options.model = optarg;
            break;
        case 'n':
            options.jobs = number;
            break;
        case 'i':
            options.in_flight = number;
            break;
        case 'p':
            options.poll_ms = (int64_t)number;
            break;
        case 'c':
            the.lanes[CALLS].at_once = number;
            break;
        case 't':
            the.lanes[TRANSFERS].at_once = number;
            break;
        default:
            exit(2);
        }
    }
    check(options.base_url && options.jobs && options.in_flight, "usage",
          "floor --base-url URL [--dialect predict|interactions] [--model ID] [--jobs N]"
          " [--in-flight N] [--poll-ms N] [--calls N] [--transfers N] [--output FOLDER]");
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    double cpu = cpu_ms();
    uint64_t begun = uv_hrtime();
    set_up();
    start_jobs();
    send_waiting(&the.lanes[CALLS]);
    uv_run(glue.loop, UV_RUN_DEFAULT);
    print_numbers(cpu_ms() - cpu, uv_hrtime() - begun);
    return the.ended == options.jobs ? 0 : 1;
}
