/*
 * Prints for watch.c: whole lines, marked with our name, in plain words. Remote text in them can't do
 * anything to a terminal: reply.h sees to it.
 */
#ifndef TELL_H
#define TELL_H

#include "reply.h"
#include <stdarg.h>

static const char *our_name = "";

static void say(const char *format, ...)
{
    va_list args;

    if (*our_name)
        printf("%s | ", our_name);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* Prints why a reply is a failure; returns whether it is a success. */
static int explain(const char *what, const char *reply)
{
    char error[TEXT_MAX], code[TEXT_MAX];

    if (succeeded(reply))
        return 1;
    say("%s failed: %s (%s)", what, text(field(whole(reply), "error"), "?", error),
        text(field(whole(reply), "code"), "?", code));
    return 0;
}

/* The names of what found or knew a peer, as a person would say them. */
static const char *who(struct span source)
{
    static const char *const words[][2] = {
        {"user", "the user"}, {"book", "our own book"}, {"mdns", "multicast DNS"}, {"dht", "the DHT"},
        {"gossip", "gossip"}, {"bootstrap", "the bootstrap list"}, {"exchange", "a connected peer"},
        {"ipfs", "Kubo"}, {"cluster", "ipfs-cluster"}, {"inbound", "its own call"},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (is(source, words[i][0]))
            return words[i][1];
    return "somebody";
}

/* A pass of discovery, where it found somebody: {"dht":1,"gossip":2}. */
static void tell_pass(struct span found)
{
    const char *sources[] = {"mdns", "dht", "gossip", "ipfs", "cluster"};
    char line[TEXT_MAX] = "", n[TEXT_MAX];

    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        const char *count = text(field(found, sources[i]), "", n);
        size_t used = strlen(line);

        if (*count)
            snprintf(line + used, sizeof line - used, "%s%.20s by %s", used ? ", " : "", count, sources[i]);
    }
    if (*line)
        say("looked around, and found: %s", line);
}

static void tell_event(struct span event)
{
    char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX], d[TEXT_MAX];
    const char *kind = text(field(event, "event"), "?", a);
    const char *peer = text(field(event, "peer_id"), "nobody", b);

    if (strcmp(kind, "peer_connected") == 0)
        say("connected: %s %s, over %s", is(field(event, "direction"), "inbound") ? "we were called by" : "we called",
            peer, text(field(event, "transport"), "?", d));
    else if (strcmp(kind, "peer_identified") == 0)
        say("identified: %s runs %s", peer, text(field(event, "agent_version"), "something it keeps to itself", c));
    else if (strcmp(kind, "peer_disconnected") == 0)
        say("disconnected: %s, because: %s", peer, text(field(event, "reason"), "?", c));
    else if (strcmp(kind, "peer_discovered") == 0)
        say("discovered: %s, through %s", peer, who(field(event, "source")));
    else if (strcmp(kind, "discovery") == 0)
        tell_pass(field(event, "found"));
    else if (strcmp(kind, "message") == 0)
        say("message: %s says on %s: %s", peer, text(field(event, "topic"), "?", c),
            decoded(field(event, "data_base64"), d));
    else if (strcmp(kind, "dial_failed") == 0)
        say("could not reach %s: %s", peer, text(field(event, "error"), "?", c));
    else if (strcmp(kind, "listen_addr") == 0)
        say("%s on %s", is(field(event, "active"), "true") ? "now listening" : "no longer listening",
            text(field(event, "address"), "?", d));
    else if (strcmp(kind, "stopped") == 0)
        say("stopped");
    else
        say("%s: %s", kind, peer);
}

#endif
