/*
 * watch: a peer you can watch. It prints what happens in plain words and obeys commands on stdin,
 * waiting for both at once with epoll, as a program with a main loop of its own would.
 *
 *   watch [--name NAME] [--data-dir DIR] [--profile PROFILE] [--listen MULTIADDR]... [--bootstrap MULTIADDR]...
 *
 *   connect ADDRESS-OR-ID   disconnect ID   ping ID   find ID   discover   peers   stats
 *   subscribe TOPIC   publish TOPIC TEXT   stop   quit
 *
 * `stop` stops the peer and ends the program once the last event is printed, as the end of stdin does;
 * `quit` leaves at once. With --name each line begins with "NAME | ", and other peers are told the name.
 * Without --data-dir nothing is remembered; with it, config.json in there may say more, such as how peers
 * are found. The first lines say "listen ADDRESS", one for each address others can connect to.
 */
#define _POSIX_C_SOURCE 200809L
#include "reply.h"
#include "tell.h"
#include <peerkit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define TIMEOUT_MS 10000
#define LINE_MAX_BYTES 4096
#define TABLE_ROW "  %-8s  %-9s  %-4s  %-7.7s  %-16.16s  %s"

/* ---- Events ---- */

/* Prints what is queued; 0 once there will be no more. */
static int print_events(peerkit_events_t events)
{
    char *reply = peerkit_events_next(events, 0);
    char lagged[TEXT_MAX];
    int more = succeeded(reply);

    if (more) {
        struct span rest = field(whole(reply), "events"), event;
        const char *lost = text(field(whole(reply), "lagged"), "0", lagged);

        if (strcmp(lost, "0") != 0)
            say("we were too slow: %s events were lost", lost);
        while (next_element(&rest, &event))
            tell_event(event);
    }
    peerkit_string_free(reply);
    return more;
}

/* ---- Commands ---- */

/* The end of a peer id: all of them begin alike. */
static const char *short_id(const char *id)
{
    size_t length = strlen(id);

    return length > 8 ? id + length - 8 : id;
}

static void print_peer(struct span row)
{
    char id[TEXT_MAX], over[TEXT_MAX], ms[TEXT_MAX], agent[TEXT_MAX], address[TEXT_MAX];
    struct span addresses = field(row, "multiaddrs"), first = {NULL, NULL};

    next_element(&addresses, &first);
    say(TABLE_ROW, short_id(text(field(row, "peer_id"), "?", id)),
        is(field(row, "connected"), "true") ? "connected" : "away",
        text(field(row, "transport"), "-", over), text(field(row, "latency_ms"), "-", ms),
        text(field(row, "agent_version"), "-", agent), text(first, "-", address));
}

static void list_peers(peerkit_t node)
{
    char *reply = peerkit_list_peers(node, NULL);
    struct span rest = field(whole(reply), "peers"), row;

    if (explain("peers", reply)) {
        say(TABLE_ROW, "PEER", "STATE", "OVER", "PING MS", "AGENT", "ADDRESS");
        while (next_element(&rest, &row))
            print_peer(row);
    }
    peerkit_string_free(reply);
}

static void print_stats(peerkit_t node)
{
    char *reply = peerkit_get_peer_stats(node, NULL);
    struct span stats = field(whole(reply), "stats");
    char total[TEXT_MAX], connected[TEXT_MAX], uptime[TEXT_MAX];

    if (explain("stats", reply))
        say("stats: %s peers known, %s connected, running for %.1f s", text(field(stats, "total_peers"), "?", total),
            text(field(stats, "connected_peers"), "?", connected),
            strtod(text(field(stats, "uptime_seconds"), "0", uptime), NULL));
    peerkit_string_free(reply);
}

/* An address, or an id: where nobody here knows the peer, others are asked where it is. Events queue up
 * meanwhile: peerkit doesn't wait for us. */
static void connect_to(peerkit_t node, const char *target)
{
    int is_address = *target == '/';
    char *reply = peerkit_connect_peer(node, is_address ? NULL : target, is_address ? target : NULL, NULL, TIMEOUT_MS);
    struct span rest = field(whole(reply), "lookups"), asked = {NULL, NULL};
    char id[TEXT_MAX], ms[TEXT_MAX];

    while (next_element(&rest, &asked))
        ;
    if (explain("connect", reply))
        say("connect: %s answered after %.1f ms%s%s", text(field(whole(reply), "peer_id"), "?", id),
            strtod(text(field(whole(reply), "duration_ms"), "0", ms), NULL), asked.at ? ", found through " : "",
            asked.at ? who(field(asked, "source")) : "");
    peerkit_string_free(reply);
}

static void disconnect_from(peerkit_t node, const char *id)
{
    char *reply = peerkit_disconnect_peer(node, id, NULL, TIMEOUT_MS);

    if (explain("disconnect", reply))
        say("disconnect: %s", is(field(whole(reply), "was_connected"), "true") ? "done" : "we weren't connected");
    peerkit_string_free(reply);
}

static void ping(peerkit_t node, const char *id)
{
    char *reply = peerkit_ping_peer(node, id, "{\"count\":1}", TIMEOUT_MS);
    struct span rest = field(whole(reply), "rtts_ms"), rtt;
    char ms[TEXT_MAX];

    if (explain("ping", reply) && next_element(&rest, &rtt))
        say("ping: %s answered after %.1f ms", id, strtod(text(rtt, "0", ms), NULL));
    peerkit_string_free(reply);
}

/* Operations without a C function of their own go by name: {KEY:ARGUMENT}. */
static char *call_with(peerkit_t node, const char *method, const char *key, const char *argument)
{
    char params[JSON_MAX] = "{";

    append_quoted(params, key);
    append(params, ":");
    append_quoted(params, argument);
    append(params, "}");
    return peerkit_call(node, method, params, TIMEOUT_MS);
}

static void find(peerkit_t node, const char *id)
{
    char *reply = call_with(node, "find_peer", "peer_id", id);
    struct span addresses = field(whole(reply), "multiaddrs"), first = {NULL, NULL};
    char address[TEXT_MAX];

    next_element(&addresses, &first);
    if (explain("find", reply))
        say("find: %s is at %s, says %s", id, text(first, "?", address), who(field(whole(reply), "found_by")));
    peerkit_string_free(reply);
}

/* One look around, by every source that is on. What it finds comes as events. */
static void discover(peerkit_t node)
{
    char *reply = peerkit_call(node, "discover_peers", NULL, TIMEOUT_MS);
    struct span found = field(whole(reply), "discovered_peers"), row;
    int n = 0;

    while (next_element(&found, &row))
        n++;
    if (explain("discover", reply))
        say("discover: %d peers we didn't know", n);
    peerkit_string_free(reply);
}

static void subscribe(peerkit_t node, const char *topic)
{
    char *reply = call_with(node, "subscribe", "topic", topic);

    if (explain("subscribe", reply))
        say("subscribe: we hear what is said on %s", topic);
    peerkit_string_free(reply);
}

static void publish(peerkit_t node, char *topic)
{
    char *words = strchr(topic, ' '), *reply, params[JSON_MAX] = "{\"topic\":";

    if (words)
        *words++ = '\0';
    append_quoted(params, topic);
    append(params, ",\"data_base64\":");
    append_base64(params, words ? words : "");
    append(params, "}");
    reply = peerkit_call(node, "publish", params, TIMEOUT_MS);
    if (explain("publish", reply))
        say("publish: sent");
    peerkit_string_free(reply);
}

/* The `stopped` event then ends the main loop. */
static void stop(peerkit_t node)
{
    char *reply = peerkit_stop(node, TIMEOUT_MS);

    explain("stop", reply);
    peerkit_string_free(reply);
}

static void obey(peerkit_t node, char *line)
{
    char *argument = strchr(line, ' ');

    if (argument)
        *argument++ = '\0';
    if (strcmp(line, "connect") == 0 && argument)
        connect_to(node, argument);
    else if (strcmp(line, "disconnect") == 0 && argument)
        disconnect_from(node, argument);
    else if (strcmp(line, "ping") == 0 && argument)
        ping(node, argument);
    else if (strcmp(line, "find") == 0 && argument)
        find(node, argument);
    else if (strcmp(line, "discover") == 0)
        discover(node);
    else if (strcmp(line, "subscribe") == 0 && argument)
        subscribe(node, argument);
    else if (strcmp(line, "publish") == 0 && argument)
        publish(node, argument);
    else if (strcmp(line, "peers") == 0)
        list_peers(node);
    else if (strcmp(line, "stats") == 0)
        print_stats(node);
    else if (strcmp(line, "stop") == 0)
        stop(node);
    else if (strcmp(line, "quit") == 0)
        exit(0);
    else if (*line)
        say("commands: connect ADDRESS-OR-ID, disconnect ID, ping ID, find ID, discover, peers, stats, "
            "subscribe TOPIC, publish TOPIC TEXT, stop, quit");
}

/* Obeys every whole line that has arrived, and tells after each what happened meanwhile; 0 at the end of
 * stdin. read, not stdio: epoll doesn't see what stdio has already taken. */
static int read_commands(peerkit_t node, peerkit_events_t events)
{
    static char buffer[LINE_MAX_BYTES];
    static size_t used;
    char *newline;
    ssize_t n = read(STDIN_FILENO, buffer + used, sizeof buffer - 1 - used);

    if (n <= 0)
        return n < 0 && errno == EINTR;
    used += (size_t)n;
    buffer[used] = '\0';
    while ((newline = memchr(buffer, '\n', used)) != NULL) {
        size_t length = (size_t)(newline - buffer) + 1;

        *newline = '\0';
        obey(node, buffer);
        print_events(events);
        used -= length;
        memmove(buffer, buffer + length, used);
    }
    if (used == sizeof buffer - 1) {
        say("that line is too long");
        used = 0;
    }
    return 1;
}

/* ---- Start and the main loop ---- */

static void usage(void)
{
    fprintf(stderr, "usage: watch [--name NAME] [--data-dir DIR] [--profile PROFILE] [--listen MULTIADDR]... "
                    "[--bootstrap MULTIADDR]...\n");
    exit(2);
}

/* `,"key":["value",...]` of all that were given of an option. */
static void append_list(char config[JSON_MAX], int argc, char **argv, const char *option, const char *key)
{
    int n = 0;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], option) != 0)
            continue;
        append(config, n++ ? "," : key);
        append_quoted(config, argv[i + 1]);
    }
    append(config, n ? "]" : "");
}

/* {"profile":...,"agent_version":...,"data_dir":...,"listen":[...],"bootstrap":[...]} of the options given. */
static void configure(int argc, char **argv, char config[JSON_MAX])
{
    const char *profile = "offline", *data_dir = NULL;

    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            usage();
        if (strcmp(argv[i], "--name") == 0)
            our_name = argv[i + 1];
        else if (strcmp(argv[i], "--data-dir") == 0)
            data_dir = argv[i + 1];
        else if (strcmp(argv[i], "--profile") == 0)
            profile = argv[i + 1];
        else if (strcmp(argv[i], "--listen") != 0 && strcmp(argv[i], "--bootstrap") != 0)
            usage();
    }
    strcpy(config, "{\"profile\":");
    append_quoted(config, profile);
    if (*our_name) {
        char agent[TEXT_MAX];

        snprintf(agent, sizeof agent, "watch/%s", our_name);
        append(config, ",\"agent_version\":");
        append_quoted(config, agent);
    }
    if (data_dir) {
        append(config, ",\"data_dir\":");
        append_quoted(config, data_dir);
    }
    append_list(config, argc, argv, "--listen", ",\"listen\":[");
    append_list(config, argc, argv, "--bootstrap", ",\"bootstrap\":[");
    append(config, "}");
}

static void print_addresses(peerkit_t node)
{
    char *reply = peerkit_status(node);
    struct span rest = field(whole(reply), "listen_addrs"), address;
    char buf[TEXT_MAX];

    while (next_element(&rest, &address))
        say("listen %s", text(address, "?", buf));
    peerkit_string_free(reply);
}

static void watch_fd(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    /* Files and /dev/null can't be waited for (EPERM): then there are no commands, only events. */
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 && errno != EPERM) {
        perror("watch: epoll_ctl");
        exit(1);
    }
}

/* Runs until the peer has stopped and its last event is printed. The events descriptor is peerkit's:
 * we wait for it, and never read or close it. */
static void main_loop(peerkit_t node, peerkit_events_t events)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC), running = 1;

    watch_fd(epoll, peerkit_events_fd(events));
    watch_fd(epoll, STDIN_FILENO);
    while (running) {
        struct epoll_event ready;

        if (epoll_wait(epoll, &ready, 1, -1) < 1)
            continue;
        if (ready.data.fd != STDIN_FILENO) {
            running = print_events(events);
        } else if (!read_commands(node, events)) {
            epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
            stop(node);
        }
    }
    close(epoll);
}

int main(int argc, char **argv)
{
    char config[JSON_MAX];
    peerkit_t node;
    peerkit_events_t events;
    char *reply;

    setvbuf(stdout, NULL, _IOLBF, 0);
    configure(argc, argv, config);
    reply = peerkit_start(config, TIMEOUT_MS, &node);
    if (!explain("start", reply))
        return 1;
    peerkit_string_free(reply);
    reply = peerkit_events_open(node, NULL, &events);
    if (!explain("events", reply))
        return 1;
    peerkit_string_free(reply);
    print_addresses(node);
    main_loop(node, events);
    peerkit_string_free(peerkit_events_close(events));
    return 0;
}
