/*
 * A forked child has none of its parent's threads, so nothing would ever answer it: each call must say
 * `forked` at once, touch no lock, and let the child exit as any process does. The parent isn't harmed.
 *
 *   fork            the child of a process that runs peerkit, and the child of one that never did
 *   fork samepid    the same where parent and child are both pid 1, each in a pid namespace of its own:
 *                   comparing pids isn't enough there. Where namespaces aren't permitted it says so.
 */
#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#define AT_ONCE_MS 1000
/* A child that hangs is killed by SIGALRM, so that the test fails instead of hanging too. */
#define CHILD_LIFE_S 60
#define PEER "12D3KooWB8sCGZCrwr79HtabLAn95qyPQx6RYHXjEbiD6QKou7ww"

/* The parent's handles when it forks. */
struct run {
    peerkit_t handle;
    peerkit_events_t events;
    int fd;
};

/* ---- The child's calls: each in a function, so that each can be timed ---- */

static char *call_start(struct run r)
{
    peerkit_t out = 99;
    char *reply = peerkit_start(OFFLINE, T_MS, &out);

    (void)r;
    CHECK(out == 0, "start in a forked child left out = %llu", (unsigned long long)out);
    return reply;
}

static char *call_current(struct run r)
{
    peerkit_t out = 99;
    char *reply = peerkit_current(&out);

    (void)r;
    CHECK(out == 0, "current in a forked child left out = %llu", (unsigned long long)out);
    return reply;
}

static char *call_events_open(struct run r)
{
    peerkit_events_t out = 99;
    char *reply = peerkit_events_open(r.handle, NULL, &out);

    CHECK(out == 0, "events_open in a forked child left out = %llu", (unsigned long long)out);
    return reply;
}

static char *call_stop(struct run r) { return peerkit_stop(r.handle, T_MS); }
static char *call_status(struct run r) { return peerkit_status(r.handle); }
static char *call_get_peers(struct run r) { return peerkit_get_peers(r.handle, NULL); }
static char *call_list_peers(struct run r) { return peerkit_list_peers(r.handle, NULL); }
static char *call_get_peer(struct run r) { return peerkit_get_peer(r.handle, PEER, NULL); }
static char *call_connect(struct run r) { return peerkit_connect_peer(r.handle, PEER, "/ip4/127.0.0.1/tcp/1", NULL, T_MS); }
static char *call_disconnect(struct run r) { return peerkit_disconnect_peer(r.handle, PEER, NULL, T_MS); }
static char *call_ping(struct run r) { return peerkit_ping_peer(r.handle, PEER, NULL, T_MS); }
static char *call_stats(struct run r) { return peerkit_get_peer_stats(r.handle, NULL); }
static char *call_call(struct run r) { return peerkit_call(r.handle, "list_peers", NULL, T_MS); }
static char *call_cancel(struct run r) { return peerkit_cancel(r.handle, 7); }
static char *call_events_next(struct run r) { return peerkit_events_next(r.events, T_MS); }
static char *call_events_close(struct run r) { return peerkit_events_close(r.events); }

static const struct {
    const char *name;
    char *(*call)(struct run r);
} calls[] = {
    {"start", call_start}, {"current", call_current}, {"status", call_status}, {"get_peers", call_get_peers},
    {"list_peers", call_list_peers}, {"get_peer", call_get_peer}, {"connect_peer", call_connect},
    {"disconnect_peer", call_disconnect}, {"ping_peer", call_ping}, {"get_peer_stats", call_stats},
    {"call", call_call}, {"cancel", call_cancel}, {"events_open", call_events_open},
    {"events_next", call_events_next}, {"events_close", call_events_close}, {"stop", call_stop},
};

/* In the child: every call, twice, since the first mustn't leave anything behind either. */
static void every_call_is_forked(struct run r)
{
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
            double began = now_ms();

            fails(calls[i].name, calls[i].call(r), "forked");
            CHECK(now_ms() - began < AT_ONCE_MS, "%s took %.0f ms in a forked child", calls[i].name, now_ms() - began);
        }
    CHECK(peerkit_events_fd(r.events) == -1, "events_fd in a forked child");
    CHECK(strlen(peerkit_version()) > 0 && peerkit_abi_version() > 0, "the version functions");
    peerkit_string_free(NULL);
}

/* ---- The parent's side ---- */

static struct run start_run(void)
{
    struct run r = {.handle = start(OFFLINE)};

    ok("events_open", peerkit_events_open(r.handle, NULL, &r.events));
    r.fd = peerkit_events_fd(r.events);
    CHECK(r.fd >= 0, "events_fd");
    return r;
}

/* Everything still works: calls, events, stop. */
static void check_unharmed(struct run r)
{
    struct pollfd p = {.fd = r.fd, .events = POLLIN};
    char *reply;

    ok("status in the parent", peerkit_status(r.handle));
    CHECK(peerkit_events_fd(r.events) == r.fd && fcntl(r.fd, F_GETFD) >= 0, "the parent's events_fd changed");
    ok("add_peer in the parent", call(r.handle, "add_peer", "{\"peer_id\":\"%s\",\"multiaddrs\":[\"/ip4/127.0.0.1/tcp/1\"]}", PEER));
    CHECK(poll(&p, 1, 5000) == 1, "no event in the parent");
    reply = want_ok("events_next in the parent", peerkit_events_next(r.events, T_MS));
    CHECK(json_length(json_at(reply, "events")) > 0, "%s", reply);
    peerkit_string_free(reply);
}

static void finish(struct run r)
{
    stop(r.handle);
    ok("events_close", peerkit_events_close(r.events));
}

static void wait_for(pid_t child, const char *what)
{
    int status;

    CHECK(child > 0, "fork: %s", strerror(errno));
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    CHECK(!WIFSIGNALED(status), "%s: the child was killed by signal %d%s", what, WTERMSIG(status),
          WTERMSIG(status) == SIGALRM ? " (it hung)" : "");
    CHECK(WEXITSTATUS(status) == 0, "%s: the child failed", what);
}

/* exit, not _exit: destructors and atexit handlers run in the child, and mustn't hang or crash. */
static pid_t fork_child(struct run r, char *inherited)
{
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child != 0)
        return child;
    alarm(CHILD_LIFE_S);
    every_call_is_forked(r);
    peerkit_string_free(inherited); /* a reply made before the fork */
    exit(0);
}

/* The parent has just changed its book at each fork, so its threads are busy at some of them, with locks
 * held that nobody in the child will ever release. */
static void children_of_a_running_parent(void)
{
    struct run r = start_run();
    char *reply = want_ok("status", peerkit_status(r.handle));

    for (int i = 0; i < 20; i++) {
        ok("add_peer", call(r.handle, "add_peer", "{\"peer_id\":\"%s\",\"multiaddrs\":[\"/ip4/127.0.0.1/tcp/%d\"]}", PEER, i + 1));
        wait_for(fork_child(r, reply), "a forked child");
    }
    peerkit_string_free(reply);
    promise("in a forked child every call answers forked within a second, string_free and version work, exit is clean");
    ok("remove_peer", call(r.handle, "remove_peer", "{\"peer_id\":\"%s\"}", PEER));
    check_unharmed(r);
    finish(r);
    promise("the parent is unharmed by its children, and stops as ever");
}

static void grandchild(void)
{
    struct run r = start_run();
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        alarm(CHILD_LIFE_S);
        wait_for(fork_child(r, NULL), "a grandchild");
        exit(0);
    }
    wait_for(child, "the child between");
    check_unharmed(r);
    finish(r);
    promise("a grandchild is told forked too");
}

/* Runs first: nothing has been started here yet. */
static void child_of_a_fresh_parent(void)
{
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        struct run r;

        alarm(CHILD_LIFE_S);
        r = start_run();
        check_unharmed(r);
        finish(r);
        exit(0);
    }
    wait_for(child, "a child that starts its own");
    promise("a child whose parent never started peerkit starts and stops its own");
}

/* ---- The same pid in two namespaces ---- */

/* Runs as pid 1 of the first namespace. Its child is pid 1 of a second one. */
static void first_of_namespace(void)
{
    struct run r;

    CHECK(getpid() == 1, "pid %d in a new pid namespace", (int)getpid());
    alarm(CHILD_LIFE_S);
    r = start_run();
    /* After start: a process can't make threads once its children belong to another namespace. */
    if (unshare(CLONE_NEWPID) != 0) {
        printf("skip - no nested pid namespace: %s\n", strerror(errno));
        exit(0);
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(CHILD_LIFE_S);
        CHECK(getpid() == 1, "pid %d in the nested pid namespace", (int)getpid());
        every_call_is_forked(r);
        exit(0);
    }
    wait_for(child, "the child with the same pid");
    check_unharmed(r);
    finish(r);
    promise("a child with its parent's pid, in another pid namespace, is told forked as well");
    exit(0);
}

static int same_pid(void)
{
    pid_t child;

    /* Root needs no user namespace; without either there is nothing to test. */
    if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) {
        printf("skip - no pid namespace: %s\n", strerror(errno));
        return 0;
    }
    child = fork();
    if (child == 0)
        first_of_namespace();
    wait_for(child, "the first process of the namespace");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "samepid") == 0)
        return same_pid();
    if (argc != 1) {
        fprintf(stderr, "usage: fork [samepid]\n");
        return 2;
    }
    child_of_a_fresh_parent();
    children_of_a_running_parent();
    grandchild();
    return 0;
}
