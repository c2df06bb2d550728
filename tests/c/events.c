/*
 * Events as C sees them: pulled or polled, from now on or from the past, of all kinds or of some; they end
 * with `stopped` and then `closed`, and whoever waits is woken.
 *
 *   events
 */
#define _DEFAULT_SOURCE
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>

#define PEER "12D3KooWB8sCGZCrwr79HtabLAn95qyPQx6RYHXjEbiD6QKou7ww"

/* ---- Pulling and polling ---- */

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    CHECK(poll(&p, 1, timeout_ms) >= 0, "poll");
    CHECK((p.revents & (POLLERR | POLLNVAL)) == 0, "the descriptor is broken");
    return (p.revents & POLLIN) != 0;
}

static size_t pull(peerkit_events_t e)
{
    char *reply = want_ok("events_next", peerkit_events_next(e, 0));
    size_t n = json_length(json_at(reply, "events"));

    CHECK(json_at(reply, "lagged") != NULL && n <= 64, "%s", reply);
    peerkit_string_free(reply);
    return n;
}

/* Empties the queue until nothing is queued and the descriptor says so. */
static void drain(peerkit_events_t e, int fd)
{
    for (int tries = 0; tries < 100; tries++) {
        while (pull(e) > 0) {
        }
        if (!readable(fd, 0))
            return;
    }
    CHECK(false, "the descriptor stays readable though nothing is queued");
}

static void discover(peerkit_t h, int i)
{
    ok("remove_peer", call(h, "remove_peer", "{\"peer_id\":\"%s\"}", PEER));
    ok("add_peer", call(h, "add_peer", "{\"peer_id\":\"%s\",\"multiaddrs\":[\"/ip4/127.0.0.1/tcp/%d\"]}", PEER, i + 1));
}

static void first_discovery(peerkit_t h)
{
    ok("add_peer", call(h, "add_peer", "{\"peer_id\":\"%s\",\"multiaddrs\":[\"/ip4/127.0.0.1/tcp/1\"]}", PEER));
}

static void check_flags(peerkit_events_t e, int fd)
{
    CHECK(fd >= 0, "events_fd gives %d", fd);
    CHECK(peerkit_events_fd(e) == fd, "events_fd gives another descriptor each call");
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC, "events_fd lacks CLOEXEC");
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK, "events_fd lacks O_NONBLOCK");
}

static void descriptor(void)
{
    peerkit_t h = start(OFFLINE);
    peerkit_events_t e = 0;
    int fd;

    ok("events_open", peerkit_events_open(h, NULL, &e));
    fd = peerkit_events_fd(e);
    check_flags(e, fd);
    drain(e, fd);
    first_discovery(h);
    for (int i = 0; i < 100; i++) {
        CHECK(readable(fd, 5000), "something is queued, yet the descriptor isn't readable (round %d)", i);
        drain(e, fd);
        discover(h, i);
    }
    drain(e, fd);
    stop(h);
    CHECK(readable(fd, 5000), "not readable after stop");
    ok("events_close", peerkit_events_close(e));
    CHECK(peerkit_events_fd(e) == -1, "events_fd after close");
    promise("events_fd is one descriptor, CLOEXEC, non-blocking, readable exactly while something is queued or after stop");
}

/* Pulls what a stopped run left; returns how many events came before `closed`, and checks the last. */
static size_t pull_to_the_end(peerkit_events_t e, int fd)
{
    char last[TEXT_MAX] = "";
    size_t total = 0;

    for (;;) {
        char *reply = peerkit_events_next(e, 0);
        const char *events = json_at(reply, "events");
        size_t n = json_length(events);

        CHECK(readable(fd, 0), "a stopped run's descriptor isn't readable");
        if (!json_is(reply, "success", "true")) {
            fails("events_next at the end", reply, "closed");
            CHECK(strcmp(last, "stopped") == 0, "the last event is `%s`", last);
            return total;
        }
        CHECK(n > 0, "an empty success after stop: %s", reply);
        json_text(json_element(events, n - 1), "event", last);
        total += n;
        peerkit_string_free(reply);
    }
}

static void events_after_stop(void)
{
    peerkit_t h = start(OFFLINE);
    peerkit_events_t e = 0;
    int fd;

    ok("events_open", peerkit_events_open(h, NULL, &e));
    fd = peerkit_events_fd(e);
    drain(e, fd);
    first_discovery(h);
    CHECK(readable(fd, 5000), "no event of add_peer");
    stop(h);
    CHECK(pull_to_the_end(e, fd) >= 2, "what was queued before stop is lost");
    fails("events_next, once more", peerkit_events_next(e, 1000), "closed");
    ok("events_close", peerkit_events_close(e));
    ok("events_close again", peerkit_events_close(e));
    promise("after stop events_next gives what is queued, `stopped` last, then closed; events_close may be repeated");
}

static void nothing_in_time(void)
{
    peerkit_t h = start(OFFLINE);
    peerkit_events_t e = 0;
    double began;
    char *reply;

    ok("events_open", peerkit_events_open(h, NULL, &e));
    drain(e, peerkit_events_fd(e));
    began = now_ms();
    reply = want_ok("events_next, 100 ms", peerkit_events_next(e, 100));
    CHECK(json_is(reply, "events", "[]") && json_number(reply, "lagged") == 0, "%s", reply);
    CHECK(now_ms() - began >= 95 && now_ms() - began < 2000, "it took %.0f ms", now_ms() - began);
    peerkit_string_free(reply);
    stop(h);
    ok("events_close", peerkit_events_close(e));
    promise("events_next with nothing in time is success with []");
}

/* ---- The past, and some kinds ---- */

/* Opens with these options; gives what the reply says was the last event before. */
static uint64_t open_with(peerkit_t h, const char *options, peerkit_events_t *e)
{
    char *reply = want_ok(options, peerkit_events_open(h, options, e));
    uint64_t last_seq = (uint64_t)json_number(reply, "last_seq");

    CHECK((peerkit_events_t)json_number(reply, "events_handle") == *e, "%s", reply);
    peerkit_string_free(reply);
    return last_seq;
}

/* Pulls one batch, which must hold the events from the first to the last number, one by one. */
static void pull_exactly(peerkit_events_t e, uint64_t first, uint64_t last)
{
    char *reply = want_ok("events_next", peerkit_events_next(e, T_MS));
    const char *events = json_at(reply, "events");

    CHECK(json_number(reply, "lagged") == 0, "%s", reply);
    CHECK(json_length(events) == last - first + 1, "not the events %llu to %llu: %s", (unsigned long long)first,
          (unsigned long long)last, reply);
    for (size_t i = 0; i < json_length(events); i++)
        CHECK((uint64_t)json_number(json_element(events, i), "seq") == first + i, "%s", reply);
    peerkit_string_free(reply);
}

static void the_past(void)
{
    peerkit_t h = start(OFFLINE);
    peerkit_events_t all = 0, some = 0, none = 0;
    char options[64];
    uint64_t last;

    first_discovery(h);
    for (int i = 1; i < 10; i++)
        discover(h, i);
    last = open_with(h, "{\"since\":0}", &all);
    CHECK(last > 10 && last < 64, "%llu events of a start and ten discoveries", (unsigned long long)last);
    CHECK(readable(peerkit_events_fd(all), 0), "the past is queued, yet the descriptor isn't readable");
    snprintf(options, sizeof options, "{\"since\":%llu}", (unsigned long long)last - 3);
    CHECK(open_with(h, options, &some) == last, "nothing happened, yet last_seq rose");
    snprintf(options, sizeof options, "{\"since\":%llu}", (unsigned long long)last);
    CHECK(open_with(h, options, &none) == last, "nothing happened, yet last_seq rose");
    CHECK(!readable(peerkit_events_fd(none), 0), "readable with nothing queued");
    discover(h, 10);
    pull_exactly(all, 1, last + 1);
    pull_exactly(some, last - 2, last + 1);
    pull_exactly(none, last + 1, last + 1);
    stop(h);
    ok("events_close", peerkit_events_close(all));
    ok("events_close", peerkit_events_close(some));
    ok("events_close", peerkit_events_close(none));
    promise("since N gives what is kept after N, then what happens: no gap, nothing twice, last_seq between them");
}

static void some_kinds(void)
{
    peerkit_t h = start(OFFLINE);
    peerkit_events_t e = 0;
    int fd;

    first_discovery(h);
    open_with(h, "{\"since\":0,\"kinds\":[\"dial_failed\"]}", &e);
    fd = peerkit_events_fd(e);
    discover(h, 1);
    CHECK(!readable(fd, 0) && pull(e) == 0, "an event of a kind nobody asked for");
    fails("connect_peer", peerkit_connect_peer(h, NULL, "/ip4/127.0.0.1/tcp/1", NULL, T_MS), "dial_failed");
    CHECK(readable(fd, 5000) && pull(e) == 1, "not the one event asked for");
    stop(h);
    CHECK(pull_to_the_end(e, fd) == 1, "more than `stopped`");
    ok("events_close", peerkit_events_close(e));
    promise("with kinds only events of these kinds come, and `stopped`");
}

/* These options are invalid_argument, with this value at the path of the reply where one is given. */
static void refused(peerkit_t h, const char *options, const char *path, const char *value)
{
    peerkit_events_t e = 99;
    char *reply = want_code(options, peerkit_events_open(h, options, &e), "invalid_argument");

    CHECK(e == 0, "%s left out = %llu", options, (unsigned long long)e);
    CHECK(path == NULL || json_is(reply, path, value), "%s isn't %s: %s", path, value, reply);
    peerkit_string_free(reply);
}

static void bad_options(void)
{
    static const char *const senseless[] = {
        "{\"since\":-1}", "{\"since\":1.5}", "{\"since\":\"0\"}", "{\"since\":[]}", "{\"since\":18446744073709551616}",
        "{\"kinds\":[]}", "{\"kinds\":\"peer_connected\"}", "{\"kinds\":[1]}", "{\"kinds\":[\"\"]}",
        "{\"kinds\":[\"peer_connected\",\"Peer_Connected\"]}", "{\"kinds\":[null]}", "[]", "{\"since\":0",
    };
    peerkit_t h = start(OFFLINE);
    peerkit_events_t e = 0;
    char last_seq[32];
    uint64_t last;

    for (size_t i = 0; i < sizeof senseless / sizeof *senseless; i++)
        refused(h, senseless[i], NULL, NULL);
    last = open_with(h, "{\"since\":null,\"kinds\":null}", &e);
    snprintf(last_seq, sizeof last_seq, "%llu", (unsigned long long)last);
    refused(h, "{\"since\":1000}", "detail.last_seq", last_seq);
    refused(h, "{\"since\":18446744073709551615}", "detail.last_seq", last_seq);
    refused(h, "{\"kinds\":[\"peer_conected\"]}", "detail.nearest", "\"peer_connected\"");
    refused(h, "{\"sinse\":0}", "detail.nearest", "\"since\"");
    ok("events_close", peerkit_events_close(e));
    stop(h);
    promise("options that make no sense, a kind nobody knows and a number of another run are invalid_argument");
}

/* ---- Calls in flight ---- */

struct flight {
    peerkit_t handle;
    peerkit_events_t events;
    char address[128];
};

static void *fly(void *argument)
{
    struct flight *f = argument;

    fails("connect_peer in flight", peerkit_connect_peer(f->handle, NULL, f->address, NULL, 60000), "closed");
    return NULL;
}

static void *wait_for_the_end(void *argument)
{
    struct flight *f = argument;

    for (;;) {
        char *reply = peerkit_events_next(f->events, 60000);

        if (!json_is(reply, "success", "true")) {
            fails("events_next in flight", reply, "closed");
            return NULL;
        }
        peerkit_string_free(reply);
    }
}

static void stop_answers_all(void)
{
    struct flight f = {.handle = start(OFFLINE)};
    pthread_t caller, reader;
    uint16_t port;
    int server = silent_server(&port), connection;
    double began;

    ok("events_open", peerkit_events_open(f.handle, NULL, &f.events));
    snprintf(f.address, sizeof f.address, "/ip4/127.0.0.1/tcp/%u", port);
    CHECK(pthread_create(&reader, NULL, wait_for_the_end, &f) == 0, "pthread_create");
    CHECK(pthread_create(&caller, NULL, fly, &f) == 0, "pthread_create");
    connection = accept(server, NULL, NULL); /* now the dial is under way */
    began = now_ms();
    stop(f.handle);
    pthread_join(caller, NULL);
    pthread_join(reader, NULL);
    CHECK(now_ms() - began < 5000, "stop left callers waiting for %.0f ms", now_ms() - began);
    ok("events_close", peerkit_events_close(f.events));
    close(connection);
    close(server);
    promise("stop answers every call in flight with closed, and wakes who waits for events");
}

static void *wait_for_close(void *argument)
{
    struct flight *f = argument;
    char *reply = peerkit_events_next(f->events, 60000);

    /* It doesn't wait a minute, be it inside the call or a moment later. */
    fails("events_next while closed", reply, "closed|invalid_handle");
    return NULL;
}

static void close_wakes(void)
{
    struct flight f = {.handle = start(OFFLINE)};
    pthread_t reader;
    double began;

    ok("events_open", peerkit_events_open(f.handle, NULL, &f.events));
    drain(f.events, peerkit_events_fd(f.events));
    CHECK(pthread_create(&reader, NULL, wait_for_close, &f) == 0, "pthread_create");
    began = now_ms();
    ok("events_close", peerkit_events_close(f.events));
    pthread_join(reader, NULL);
    CHECK(now_ms() - began < 5000, "events_close left a reader waiting");
    stop(f.handle);
    promise("events_close wakes who waits for events");
}

int main(void)
{
    descriptor();
    events_after_stop();
    nothing_in_time();
    the_past();
    some_kinds();
    bad_options();
    stop_answers_all();
    close_wakes();
    return 0;
}
