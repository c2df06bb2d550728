/*
 * The table "Lifecycle, exactly" of the contract, row by row: one manager per process, start and stop as
 * often as one likes, clear codes when start can't. Its rows on events and on calls in flight are in events.c.
 *
 *   lifecycle SCRATCH_DIR      (an existing empty directory of ours, for data directories)
 */
#define _DEFAULT_SOURCE
#include "check.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define STARTERS 64
#define ROUNDS 100
#define WARM_UP 5
/* A book thread of a stopped run may need a moment to be reaped by the kernel. */
#define SETTLE_MS 2000
#define PATH_BYTES 1024

static char scratch[PATH_BYTES / 2];

static const char *in_scratch(const char *name, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%s", scratch, name);
    return path;
}

static const char *with_data_dir(const char *dir, char config[TEXT_MAX])
{
    snprintf(config, TEXT_MAX, "{\"profile\":\"offline\",\"data_dir\":\"%s\"}", dir);
    return config;
}

/* A start that must fail with one of the codes; the reply is the caller's. */
static char *refused(const char *what, const char *config, const char *codes)
{
    peerkit_t out = 99;
    char *reply = want_code(what, peerkit_start(config, T_MS, &out), codes);

    CHECK(out == 0, "%s: out = %llu", what, (unsigned long long)out);
    return reply;
}

static void nothing_runs(void)
{
    peerkit_t out = 99;

    fails("current", peerkit_current(&out), "not_running");
    CHECK(out == 0, "current: out = %llu", (unsigned long long)out);
}

/* ---- Starting twice ---- */

static void again(peerkit_t h, const char *config)
{
    peerkit_t out = 0;
    char *reply = want_ok("start again", peerkit_start(config, T_MS, &out));

    CHECK(json_is(reply, "already_running", "true"), "%s", reply);
    CHECK(out == h, "another handle: %llu, not %llu", (unsigned long long)out, (unsigned long long)h);
    peerkit_string_free(reply);
}

static void conflict(const char *config, const char *key)
{
    char quoted[TEXT_MAX];
    char *reply = refused(config, config, "config_conflict");
    const char *keys = json_at(reply, "detail.keys");

    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    CHECK(json_length(keys) == 1 && strncmp(json_element(keys, 0), quoted, strlen(quoted)) == 0,
          "detail.keys should be [%s]: %s", quoted, reply);
    peerkit_string_free(reply);
}

static void second_start(void)
{
    peerkit_t h, current = 0;
    char *reply;

    nothing_runs();
    reply = want_ok("start", peerkit_start("{\"profile\":\"offline\",\"agent_version\":\"a/1\"}", T_MS, &h));
    CHECK(json_is(reply, "already_running", "false"), "%s", reply);
    peerkit_string_free(reply);
    again(h, NULL);
    again(h, "{}");
    again(h, OFFLINE);
    again(h, "{\"agent_version\":\"a/1\"}");
    conflict("{\"profile\":\"lan\"}", "profile");
    conflict("{\"profile\":\"offline\",\"agent_version\":\"b/2\"}", "agent_version");
    ok("current", peerkit_current(&current));
    CHECK(current == h, "current gives another handle");
    stop(h);
    nothing_runs();
    promise("a second start gets the same handle, or config_conflict with the keys and out = 0");
}

static void second_stop(void)
{
    peerkit_t first = start(OFFLINE), second;
    char *reply = want_ok("stop", peerkit_stop(first, T_MS));

    CHECK(!json_is(reply, "already_stopped", "true"), "%s", reply);
    peerkit_string_free(reply);
    reply = want_ok("second stop", peerkit_stop(first, T_MS));
    CHECK(json_is(reply, "already_stopped", "true"), "%s", reply);
    peerkit_string_free(reply);
    fails("status of a stopped run", peerkit_status(first), "invalid_handle");
    second = start(OFFLINE);
    CHECK(second != first, "a handle was used twice");
    fails("status of the first run", peerkit_status(first), "invalid_handle");
    ok("stop of the first run", peerkit_stop(first, T_MS));
    ok("status of the second run", peerkit_status(second));
    stop(second);
    promise("a second stop says already_stopped; handles are never reused; an old one stops nothing new");
}

/* ---- Sixty-four threads ---- */

struct starter {
    pthread_barrier_t *barrier;
    peerkit_t handle;
    bool already;
};

static void *start_at_once(void *argument)
{
    struct starter *s = argument;
    char *reply;

    pthread_barrier_wait(s->barrier);
    reply = want_ok("concurrent start", peerkit_start(OFFLINE, T_MS, &s->handle));
    s->already = json_is(reply, "already_running", "true");
    peerkit_string_free(reply);
    return NULL;
}

static void concurrent_starts(void)
{
    pthread_t threads[STARTERS];
    struct starter starters[STARTERS];
    pthread_barrier_t barrier;
    int did_it = 0;

    pthread_barrier_init(&barrier, NULL, STARTERS);
    for (int i = 0; i < STARTERS; i++) {
        starters[i] = (struct starter){.barrier = &barrier};
        CHECK(pthread_create(&threads[i], NULL, start_at_once, &starters[i]) == 0, "pthread_create");
    }
    for (int i = 0; i < STARTERS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(starters[i].handle == starters[0].handle && starters[i].handle != 0, "two handles");
        did_it += !starters[i].already;
    }
    pthread_barrier_destroy(&barrier);
    CHECK(did_it == 1, "%d starts say that they started it", did_it);
    stop(starters[0].handle);
    promise("64 threads that start at once get one manager and one handle");
}

/* ---- A hundred rounds ---- */

static int entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;

    CHECK(d != NULL, "opendir %s", dir);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Waits for the count to fall to `limit`, at most a moment; returns what it is then. */
static int settled(const char *dir, int limit)
{
    double deadline = now_ms() + SETTLE_MS;
    int n = entries(dir);

    while (n > limit && now_ms() < deadline) {
        struct timespec pause = {.tv_nsec = 1000000};

        nanosleep(&pause, NULL);
        n = entries(dir);
    }
    return n;
}

static void round_trip(const char *config, uint16_t port)
{
    char tcp[64], udp[64];
    peerkit_t h = start(config);
    char *reply = want_ok("status", peerkit_status(h));

    snprintf(tcp, sizeof tcp, "/ip4/127.0.0.1/tcp/%u/p2p/", port);
    snprintf(udp, sizeof udp, "/ip4/127.0.0.1/udp/%u/quic-v1/p2p/", port);
    CHECK(strstr(reply, tcp) && strstr(reply, udp), "not listening on port %u: %s", port, reply);
    peerkit_string_free(reply);
    stop(h);
}

static void hundred_rounds(void)
{
    char config[TEXT_MAX];
    uint16_t port = free_port();
    int tasks = 0, fds = 0, tasks_after, fds_after;

    snprintf(config, sizeof config,
             "{\"profile\":\"offline\",\"listen\":[\"/ip4/127.0.0.1/tcp/%u\",\"/ip4/127.0.0.1/udp/%u/quic-v1\"]}", port, port);
    for (int i = 0; i < WARM_UP + ROUNDS; i++) {
        if (i == WARM_UP) {
            tasks = settled("/proc/self/task", 3);
            fds = settled("/proc/self/fd", 0);
        }
        round_trip(config, port);
    }
    tasks_after = settled("/proc/self/task", tasks);
    fds_after = settled("/proc/self/fd", fds);
    CHECK(tasks_after <= tasks, "%d threads before, %d after %d rounds", tasks, tasks_after, ROUNDS);
    CHECK(fds_after <= fds, "%d descriptors before, %d after %d rounds", fds, fds_after, ROUNDS);
    promise("start and stop %d times on one TCP and UDP port: no thread, descriptor or port leaks", ROUNDS);
}

/* ---- Starts that can't ---- */

static void listen_port_taken(int type, const char *format)
{
    char config[TEXT_MAX], address[128];
    uint16_t port = 0;
    int fd = bind_port(type, &port);
    peerkit_t h;

    CHECK(type != SOCK_STREAM || listen(fd, 1) == 0, "listen");
    snprintf(address, sizeof address, format, port);
    snprintf(config, sizeof config, "{\"profile\":\"offline\",\"listen\":[\"%s\"]}", address);
    peerkit_string_free(refused("start on a taken port", config, "listen_failed"));
    nothing_runs();
    close(fd);
    h = start(config);
    stop(h);
    promise("a taken port is listen_failed, and nothing stays behind: %s", type == SOCK_STREAM ? "TCP" : "UDP");
}

/* Creates a file of these bytes. */
static void write_file(const char *path, const char *bytes, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    size_t size = strlen(bytes);

    CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size, "can't write %s", path);
    CHECK(fchmod(fd, mode) == 0, "fchmod");
    close(fd);
}

static void read_file(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

    CHECK(n >= 0, "can't read %s: %s", path, strerror(errno));
    buf[n] = '\0';
    close(fd);
}

static void make_dir(const char *path, mode_t mode)
{
    /* chmod: the umask has no say here. */
    CHECK(mkdir(path, mode) == 0 && chmod(path, mode) == 0, "can't make %s: %s", path, strerror(errno));
}

static void bad_data_dirs(void)
{
    char path[PATH_BYTES], config[TEXT_MAX];

    make_dir(in_scratch("open", path), 0777);
    peerkit_string_free(refused("0777", with_data_dir(path, config), "storage"));
    write_file(in_scratch("file", path), "not a directory", 0600);
    peerkit_string_free(refused("a file", with_data_dir(path, config), "storage"));
    peerkit_string_free(refused("below a file", with_data_dir(in_scratch("file/dir", path), config), "storage"));
    peerkit_string_free(refused("/proc", with_data_dir("/proc/peerkit-test", config), "storage"));
    nothing_runs();
    promise("a data_dir that others may write, that is a file, or can't be made is `storage`");
}

static void bad_identity(void)
{
    const char *garbage = "this is no key";
    char dir[PATH_BYTES], key[PATH_BYTES], config[TEXT_MAX], after[256];
    struct stat s;

    make_dir(in_scratch("badkey", dir), 0700);
    write_file(in_scratch("badkey/identity.key", key), garbage, 0600);
    peerkit_string_free(refused("garbage key", with_data_dir(dir, config), "identity"));
    read_file(key, after, sizeof after);
    CHECK(strcmp(after, garbage) == 0, "the damaged key was replaced");
    write_file(key, "", 0600);
    peerkit_string_free(refused("empty key", with_data_dir(dir, config), "identity"));
    CHECK(stat(key, &s) == 0 && s.st_size == 0, "the empty key was replaced");
    nothing_runs();
    promise("a damaged identity.key is `identity`, and is left as it is");
}

static void status_text(const char *config, const char *path, char buf[TEXT_MAX])
{
    peerkit_t h = start(config);
    char *reply = want_ok("status", peerkit_status(h));

    json_text(reply, path, buf);
    peerkit_string_free(reply);
    stop(h);
}

static void identity_stays(void)
{
    char dir[PATH_BYTES], key[PATH_BYTES], config[TEXT_MAX], first[TEXT_MAX], second[TEXT_MAX], third[TEXT_MAX];
    struct stat s;

    with_data_dir(in_scratch("good", dir), config);
    status_text(config, "peer_id", first);
    status_text(config, "peer_id", second);
    status_text(OFFLINE, "peer_id", third);
    CHECK(strcmp(first, second) == 0, "%s became %s", first, second);
    CHECK(strcmp(first, third) != 0, "a run without data_dir has the identity of one with it");
    CHECK(stat(dir, &s) == 0 && (s.st_mode & 07777) == 0700, "data_dir has mode %o", s.st_mode & 07777);
    CHECK(stat(in_scratch("good/identity.key", key), &s) == 0 && (s.st_mode & 07777) == 0600, "identity.key has mode %o",
          s.st_mode & 07777);
    promise("the identity in data_dir survives a restart; the directory is 0700, the key 0600");
}

/* The child's part: owns the data directory until the parent closes the pipe. */
static void own_data_dir(const char *config, int ready, int release)
{
    peerkit_t h = start(config);
    char byte = 'r';

    CHECK(write(ready, &byte, 1) == 1, "write");
    CHECK(read(release, &byte, 1) == 0, "read");
    stop(h);
    _exit(0);
}

/* Runs first: the child is forked while no peerkit runs here. */
static void data_dir_of_another_process(void)
{
    char dir[PATH_BYTES], config[TEXT_MAX], byte;
    int ready[2], release[2], status;
    char *reply;
    pid_t child;
    peerkit_t h;

    CHECK(pipe(ready) == 0 && pipe(release) == 0, "pipe");
    with_data_dir(in_scratch("shared", dir), config);
    child = fork();
    if (child == 0) {
        close(release[1]);
        own_data_dir(config, ready[1], release[0]);
    }
    close(ready[1]);
    close(release[0]);
    CHECK(child > 0 && read(ready[0], &byte, 1) == 1, "the child didn't start");
    reply = refused("locked", config, "data_dir_locked");
    CHECK(json_number(reply, "detail.pid") == child, "detail.pid isn't %d: %s", (int)child, reply);
    peerkit_string_free(reply);
    close(release[1]);
    CHECK(waitpid(child, &status, 0) == child && status == 0, "the child failed: %d", status);
    close(ready[0]);
    h = start(config);
    stop(h);
    promise("two processes with one data_dir: data_dir_locked names the holder's pid; free once it stops");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: lifecycle SCRATCH_DIR\n");
        return 2;
    }
    snprintf(scratch, sizeof scratch, "%s", argv[1]);
    data_dir_of_another_process();
    second_start();
    second_stop();
    concurrent_starts();
    hundred_rounds();
    listen_port_taken(SOCK_STREAM, "/ip4/127.0.0.1/tcp/%u");
    listen_port_taken(SOCK_DGRAM, "/ip4/127.0.0.1/udp/%u/quic-v1");
    bad_data_dirs();
    bad_identity();
    identity_stays();
    return 0;
}
