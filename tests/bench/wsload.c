/*
 * wsload.c - a load generator that checks what a WebSocket server delivers (RFC 6455).
 *
 *   cc -O2 -o wsload wsload.c; ./wsload --help                 (Linux, libc only; single thread, epoll)
 *
 * One process opens N connections and measures one of
 *
 *   --mode fanout   The first K connections publish messages that carry a stamp; the server is to send every
 *                   message to all N. Every delivery is checked, per connection and publisher: no gap, no
 *                   duplicate, in order. Its latency goes to a log-linear histogram (3 % resolution).
 *                     --rate R       open loop, R messages/s in all. The stamp is the INTENDED time of
 *                                    sending, so a server that stalls shows up as latency (no coordinated
 *                                    omission).
 *                     --pipeline M   closed loop, M messages outstanding; a message is complete once all
 *                                    receivers have it (M = 1: strict ping-pong).
 *                     --bystanders B the last B connections are on another path and are to get nothing.
 *                     --other-port P the last --others connections, or every second one, are at another server,
 *                                    whose clients are to get every message, too.
 *   --mode rooms    Connection i is on the path --path/R, R = i modulo --rooms. The first one of each room keeps M
 *                   messages outstanding, the next one leaves when its own has come back; everybody in the room is
 *                   to get every message, and nobody else. Checked as with fanout.
 *   --mode connect  Handshakes per second, and the server's memory per idle connection.
 *   --mode echo     Every connection keeps M messages outstanding and expects its own back.
 *
 * The stamp is "~<publisher>.<sequence>:<nanoseconds>:" anywhere in the payload; the rest is padding. The
 * payload is --template with %s replaced by stamp and padding, so a server may unwrap or rebuild the JSON.
 *
 * Prints one JSON object. Exit status: 0 all deliveries were right, 1 usage or no connection, 2 messages were
 * missing, duplicated, out of order or went to a bystander.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

#define NANOSECONDS 1000000000ull
#define LENGTH_OF(array) (sizeof(array) / sizeof *(array))

typedef unsigned long long ull; /* for printf */

/* ---------------------------------------------------------------- options */

enum mode { FANOUT, CONNECT, ECHO, ROOMS };
static const char *const MODE_NAMES[] = {"fanout", "connect", "echo", "rooms"};

static struct {
    enum mode mode;
    const char *host, *path, *bystander_path, *subprotocol, *template, *hello;
    int port, other_port, connections, others, sources, in_flight, publishers, pipeline, size, stalled,
        bystanders, trickle, receive_buffer, server_pid, other_pid, store_pid, rooms;
    long count;
    double rate, timeout, settle, warmup, duration, drain;
} options = {
    .host = "127.0.0.1",
    .path = "/",
    .bystander_path = "/elsewhere",
    .template = "{\"message\":\"%s\"}",
    .port = 8000,
    .connections = 100,
    .sources = 8,
    .in_flight = 64,
    .publishers = 1,
    .rooms = 1,
    .pipeline = 1,
    .size = 64,
    .timeout = 60,
    .settle = 0.5,
    .warmup = 1,
    .duration = 5,
    .drain = 3,
};

static const char USAGE[] =
    "usage: wsload [options]\n"
    "  --mode fanout|rooms|connect|echo  what to measure (fanout)\n"
    "connections:\n"
    "  --host IP --port P --path / where to connect (127.0.0.1:8000/)\n"
    "  --conns N                   how many (100)\n"
    "  --srcs S                    spread over the source addresses 127.0.0.1..S, about 28,000 each (8)\n"
    "  --inflight C                handshakes under way at once (64)\n"
    "  --timeout SEC               for all handshakes together (60)\n"
    "  --subprotocol NAME          to offer; the server must select it\n"
    "  --stall S                   the last S connections never read\n"
    "  --trickle B                 but for B bytes a second each, which they do not look at (0)\n"
    "  --rcvbuf B                  SO_RCVBUF of those\n"
    "  --bystanders B              the last B connections are to get nothing\n"
    "  --bystander-path /          where those connect (/elsewhere)\n"
    "  --other-port P              another server, to which every second connection goes\n"
    "  --others N                  or the last N\n"
    "  --hello TEXT                what each sends first; what is not stamped and comes before the rest is right\n"
    "messages:\n"
    "  --publishers K              how many of the connections publish (1)\n"
    "  --rate R                    open loop, R messages/s in all\n"
    "  --rooms R                   how many rooms there are (1)\n"
    "  --pipeline M                closed loop with M outstanding, where no rate is given (1)\n"
    "  --size B                    payload bytes (64)\n"
    "  --template T                payload, %s = stamp and padding ({\"message\":\"%s\"})\n"
    "run, in seconds:\n"
    "  --settle (0.5) after connecting   --warmup (1)   --duration (5)   --drain (3) at the end\n"
    "  --count MESSAGES            end early, once so many are complete\n"
    "  --server-pid PID            report this process's CPU time and memory\n"
    "  --other-pid PID             and the CPU time of this one\n"
    "  --store-pid PID             and of this one, which both servers need\n";

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("wsload: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static enum mode mode_of(const char *name) {
    for (size_t i = 0; i < LENGTH_OF(MODE_NAMES); i++)
        if (!strcmp(name, MODE_NAMES[i]))
            return (enum mode)i;
    die("--mode %s: fanout, rooms, connect or echo", name);
    return FANOUT;
}

static void parse_options(int argc, char **argv) {
    static const struct option NAMES[] = {
        {"mode", required_argument, NULL, 'm'},
        {"host", required_argument, NULL, 'H'},
        {"port", required_argument, NULL, 'p'},
        {"path", required_argument, NULL, 'P'},
        {"conns", required_argument, NULL, 'n'},
        {"srcs", required_argument, NULL, 'a'},
        {"inflight", required_argument, NULL, 'f'},
        {"timeout", required_argument, NULL, 't'},
        {"subprotocol", required_argument, NULL, 'o'},
        {"stall", required_argument, NULL, 'x'},
        {"trickle", required_argument, NULL, 'l'},
        {"rcvbuf", required_argument, NULL, 'b'},
        {"bystanders", required_argument, NULL, 'y'},
        {"bystander-path", required_argument, NULL, 'Y'},
        {"publishers", required_argument, NULL, 'k'},
        {"rooms", required_argument, NULL, 'M'},
        {"rate", required_argument, NULL, 'r'},
        {"pipeline", required_argument, NULL, 'i'},
        {"size", required_argument, NULL, 's'},
        {"template", required_argument, NULL, 'T'},
        {"settle", required_argument, NULL, 'e'},
        {"warmup", required_argument, NULL, 'w'},
        {"duration", required_argument, NULL, 'd'},
        {"drain", required_argument, NULL, 'D'},
        {"count", required_argument, NULL, 'c'},
        {"server-pid", required_argument, NULL, 'S'},
        {"other-port", required_argument, NULL, 'q'},
        {"others", required_argument, NULL, 'N'},
        {"other-pid", required_argument, NULL, 'O'},
        {"store-pid", required_argument, NULL, 'R'},
        {"hello", required_argument, NULL, 'g'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int name; (name = getopt_long(argc, argv, "h", NAMES, NULL)) != -1;)
        switch (name) {
        case 'm': options.mode = mode_of(optarg); break;
        case 'H': options.host = optarg; break;
        case 'p': options.port = atoi(optarg); break;
        case 'P': options.path = optarg; break;
        case 'n': options.connections = atoi(optarg); break;
        case 'a': options.sources = atoi(optarg); break;
        case 'f': options.in_flight = atoi(optarg); break;
        case 't': options.timeout = atof(optarg); break;
        case 'o': options.subprotocol = optarg; break;
        case 'x': options.stalled = atoi(optarg); break;
        case 'l': options.trickle = atoi(optarg); break;
        case 'b': options.receive_buffer = atoi(optarg); break;
        case 'y': options.bystanders = atoi(optarg); break;
        case 'Y': options.bystander_path = optarg; break;
        case 'k': options.publishers = atoi(optarg); break;
        case 'M': options.rooms = atoi(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'i': options.pipeline = atoi(optarg); break;
        case 's': options.size = atoi(optarg); break;
        case 'T': options.template = optarg; break;
        case 'e': options.settle = atof(optarg); break;
        case 'w': options.warmup = atof(optarg); break;
        case 'd': options.duration = atof(optarg); break;
        case 'D': options.drain = atof(optarg); break;
        case 'c': options.count = atol(optarg); break;
        case 'S': options.server_pid = atoi(optarg); break;
        case 'q': options.other_port = atoi(optarg); break;
        case 'N': options.others = atoi(optarg); break;
        case 'O': options.other_pid = atoi(optarg); break;
        case 'R': options.store_pid = atoi(optarg); break;
        case 'g': options.hello = optarg; break;
        case 'h': fputs(USAGE, stdout); exit(0);
        default: fputs(USAGE, stderr); exit(1);
        }
    if (optind < argc)
        die("%s: every argument is an option (see --help)", argv[optind]);
    if (options.connections < 1)
        die("--conns must be at least 1");
    if (options.publishers < 1 || options.publishers > 256 || options.publishers > options.connections)
        die("--publishers must be 1 to 256, and no more than --conns");
    if (options.rooms < 1 || options.connections % options.rooms)
        die("--rooms must leave no connection over");
    if (options.mode == ROOMS && (options.stalled || options.other_port || options.publishers > 1))
        die("--mode rooms goes with neither --stall nor --other-port nor --publishers");
    if (options.pipeline < 1 || options.pipeline > 60000)
        die("--pipeline must be 1 to 60000");
    if (options.stalled < 0 || options.stalled >= options.connections)
        die("--stall must leave a connection that reads");
    if (options.bystanders < 0 || options.publishers + options.bystanders > options.connections)
        die("--bystanders must leave the publishers");
    if (options.bystanders && (options.stalled || options.mode != FANOUT))
        die("--bystanders go with neither --stall nor another --mode than fanout");
    if (options.others < 0 || options.others >= options.connections ||
        (options.others && !options.other_port))
        die("--others must leave a connection, and go with --other-port");
    if (!strstr(options.template, "%s"))
        die("--template needs %%s");
}

/* ------------------------------------------------------------------- time */

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

static uint64_t after(double seconds) {
    return now_ns() + (uint64_t)(seconds * 1e9);
}

/* Latencies: SUB linear buckets per power of two of nanoseconds. */
enum { SUB = 64 };
struct latency {
    uint64_t buckets[64 * SUB], count, max;
    double sum;
};
static struct latency latency, other_latency; /* the second: of connections to the other server */

static inline void latency_add(struct latency *latency, uint64_t ns) {
    unsigned shift =
        ns < SUB ? 0 : 63 - (unsigned)__builtin_clzll(ns) - 5; /* then ns >> shift is SUB/2..SUB */
    latency->buckets[shift * SUB + (unsigned)(ns >> shift)]++;
    latency->count++;
    latency->sum += (double)ns;
    if (ns > latency->max)
        latency->max = ns;
}

/* The latency in microseconds that a share `quantile` of the deliveries stayed below: its bucket's upper edge. */
static double latency_us(const struct latency *latency, double quantile) {
    if (!latency->count)
        return 0;
    uint64_t wanted = (uint64_t)(quantile * (double)latency->count), seen = 0;
    if (wanted >= latency->count)
        wanted = latency->count - 1;
    for (unsigned i = 0; i < LENGTH_OF(latency->buckets); i++) {
        seen += latency->buckets[i];
        if (seen > wanted) {
            uint64_t edge = ((uint64_t)(i % SUB) + 1) << (i / SUB);
            return (double)(edge < latency->max ? edge : latency->max) / 1e3;
        }
    }
    return (double)latency->max / 1e3;
}

/* --------------------------------------------------- the server's process */

/* CPU seconds of a process so far, to the kernel's tick (10 ms). */
static double cpu_of(int pid) {
    char name[64], stat[1024];
    unsigned long user = 0, system = 0;
    if (!pid)
        return 0;
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    FILE *file = fopen(name, "r");
    if (!file)
        return 0;
    stat[fread(stat, 1, sizeof stat - 1, file)] = 0;
    fclose(file);
    char *after_name = strrchr(stat, ')'); /* the name before it may hold anything */
    if (after_name)
        sscanf(after_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double server_cpu(void) {
    return cpu_of(options.server_pid);
}

/* The number after `key` in the server's /proc file, in KiB. */
static long server_memory(const char *proc_file, const char *key) {
    char name[64], line[256];
    long kib = 0;
    size_t length = strlen(key);
    if (!options.server_pid)
        return 0;
    snprintf(name, sizeof name, "/proc/%d/%s", options.server_pid, proc_file);
    FILE *file = fopen(name, "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, key, length) && line[length] == ':') {
            kib = atol(line + length + 1);
            break;
        }
    fclose(file);
    return kib;
}

static long server_rss(void) {
    return server_memory("status", "VmRSS");
}

static long server_pss(void) {
    return server_memory("smaps_rollup", "Pss");
}

static double own_cpu(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* ------------------------------------------------------------------ state */

enum connection_state { UNUSED, CONNECTING, HANDSHAKE, OPEN, CLOSED };

struct connection {
    int fd;
    uint8_t state, stalled, bystander, other, fragmented;
    uint8_t *in; /* an incomplete response or frame, kept from earlier reads */
    uint32_t in_len, in_cap;
    uint8_t *out; /* bytes [out_sent, out_len) that the kernel would not take yet */
    uint32_t out_len, out_sent, out_cap;
    uint32_t *expected; /* the next sequence of every publisher */
    uint64_t sent, got; /* of its own messages, that come back: echo, and a publisher of a room */
    int room;
};

static struct connection *connections;
static int epoll_fd, timer_fd, started, opened, failed, closed_by_peer, clean_closes;
static uint64_t connect_begin, connect_end;
static uint32_t receivers; /* connections that are to get every message */

/* What happens now. Deliveries are checked in every phase, and counted and timed in MEASURING. */
static enum { JOINING, WARMING, MEASURING, DRAINING, CLOSING } phase = JOINING;

static uint64_t published, completed; /* messages; complete: all receivers have them */
static uint64_t measured;             /* deliveries in MEASURING */
static uint64_t room_deliveries;      /* rooms: all of them */
static uint64_t missing, duplicates, bad_frames, unstamped, strays, skipped;
static uint64_t frames_in, reads_in;

/* Deliveries so far of each message under way, by its number modulo RING (fan-out). */
enum { RING = 1 << 16 };
static uint32_t ring[RING];

/* ---------------------------------------------------------------- sockets */

static void watch(int operation, const struct connection *connection, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)(connection - connections)};
    epoll_ctl(epoll_fd, operation, connection->fd, &event);
}

/* Close at once, with a RST: ten thousand connections must not linger in TIME_WAIT until the next run. */
static void disconnect(struct connection *connection) {
    struct linger at_once = {1, 0};
    if (connection->fd < 0)
        return;
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(connection->fd);
    free(connection->in);
    free(connection->out);
    connection->fd = -1;
    connection->state = CLOSED;
    connection->in = connection->out = NULL;
    connection->in_len = connection->in_cap = 0;
    connection->out_len = connection->out_sent = connection->out_cap = 0;
}

static void send_waiting(struct connection *connection) {
    while (connection->out_sent < connection->out_len) {
        ssize_t sent = send(connection->fd, connection->out + connection->out_sent,
                            connection->out_len - connection->out_sent, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN) {
                watch(EPOLL_CTL_MOD, connection, EPOLLIN | EPOLLOUT);
                return;
            }
            closed_by_peer++;
            disconnect(connection);
            return;
        }
        connection->out_sent += (uint32_t)sent;
    }
    if (connection->out_sent) {
        connection->out_sent = connection->out_len = 0;
        if (connection->state == OPEN)
            watch(EPOLL_CTL_MOD, connection, EPOLLIN);
    }
}

static void queue(struct connection *connection, const void *bytes, size_t count) {
    if (connection->out_len + count > connection->out_cap) {
        connection->out_cap = (uint32_t)((connection->out_len + count) * 2 + 256);
        connection->out = realloc(connection->out, connection->out_cap);
    }
    memcpy(connection->out + connection->out_len, bytes, count);
    connection->out_len += (uint32_t)count;
}

static void keep_incomplete(struct connection *connection, const void *bytes, size_t count) {
    if (connection->in_len + count > connection->in_cap) {
        connection->in_cap = (uint32_t)(connection->in_len + count) * 2;
        connection->in = realloc(connection->in, connection->in_cap);
    }
    memcpy(connection->in + connection->in_len, bytes, count);
    connection->in_len += (uint32_t)count;
}

/* ----------------------------------------------------------------- frames */

enum opcode { OP_CONTINUATION = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

/* Queue one final, masked frame (RFC 6455 section 5.2). */
static void queue_frame(struct connection *connection, int opcode, const void *payload, size_t count) {
    static uint32_t random = 0x9e3779b9; /* the mask need not be unpredictable here, only changing */
    uint8_t header[14], mask[4];
    size_t length = 2;
    header[0] = (uint8_t)(0x80 | opcode);
    if (count < 126) {
        header[1] = (uint8_t)(0x80 | count);
    } else if (count < 65536) {
        header[1] = 0x80 | 126;
        header[2] = (uint8_t)(count >> 8);
        header[3] = (uint8_t)count;
        length = 4;
    } else {
        header[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++)
            header[2 + i] = (uint8_t)((uint64_t)count >> (56 - 8 * i));
        length = 10;
    }
    random = random * 1664525u + 1013904223u;
    memcpy(mask, &random, 4);
    memcpy(header + length, mask, 4);
    queue(connection, header, length + 4);
    queue(connection, payload, count);
    uint8_t *masked = connection->out + connection->out_len - count;
    for (size_t i = 0; i < count; i++)
        masked[i] ^= mask[i & 3];
}

/* The payload being built: the template's head stays in place, stamp, padding and tail are written anew. */
static char *payload;
static size_t payload_head, payload_tail;

static void payload_init(void) {
    const char *hole = strstr(options.template, "%s");
    payload_head = (size_t)(hole - options.template);
    payload_tail = strlen(hole + 2);
    payload = malloc((size_t)options.size + strlen(options.template) + 128);
    memcpy(payload, options.template, payload_head);
}

static void queue_message(struct connection *connection, unsigned publisher, unsigned sequence, uint64_t ns) {
    size_t length = payload_head;
    length += (size_t)sprintf(payload + length, "~%u.%u:%llu:", publisher, sequence, (ull)ns);
    if (length + payload_tail < (size_t)options.size) {
        memset(payload + length, 'x', (size_t)options.size - length - payload_tail);
        length = (size_t)options.size - payload_tail;
    }
    memcpy(payload + length, options.template + payload_head + 2, payload_tail);
    queue_frame(connection, OP_TEXT, payload, length + payload_tail);
}

/* ------------------------------------------------------------- deliveries */

struct stamp {
    uint64_t publisher, sequence, ns;
};

static const uint8_t *read_number(const uint8_t *at, const uint8_t *end, uint64_t *number) {
    for (*number = 0; at < end && *at >= '0' && *at <= '9'; at++)
        *number = *number * 10 + (*at - '0');
    return at;
}

static int read_stamp(const uint8_t *bytes, size_t count, struct stamp *stamp) {
    static size_t likely; /* where the last one was */
    const uint8_t *end = bytes + count;
    const uint8_t *at = likely < count && bytes[likely] == '~' ? bytes + likely : memchr(bytes, '~', count);
    if (!at)
        return 0;
    likely = (size_t)(at - bytes);
    at = read_number(at + 1, end, &stamp->publisher);
    if (at >= end || *at != '.')
        return 0;
    at = read_number(at + 1, end, &stamp->sequence);
    if (at >= end || *at != ':')
        return 0;
    read_number(at + 1, end, &stamp->ns);
    return 1;
}

/* One more receiver has message `number`; messages complete in the order in which they were published. */
static void count_towards_completion(uint64_t number) {
    if (++ring[number % RING] < receivers)
        return;
    while (completed < published && ring[completed % RING] >= receivers)
        ring[completed++ % RING] = 0;
}

static void on_message(struct connection *connection, const uint8_t *bytes, size_t count, uint64_t now) {
    struct stamp stamp;
    if (connection->bystander) {
        strays++;
        return;
    }
    uint64_t publishers = (uint64_t)(options.mode == ROOMS ? options.rooms : options.publishers);
    if (!read_stamp(bytes, count, &stamp) || stamp.publisher >= publishers) {
        unstamped += !options.hello || phase != JOINING;
        return;
    }
    if (options.mode == ROOMS && stamp.publisher != (uint64_t)connection->room) {
        strays++;
        return;
    }
    if (phase == MEASURING) {
        uint64_t took = now > stamp.ns ? now - stamp.ns : 0;
        measured++;
        latency_add(connection->other ? &other_latency : &latency, took);
    }
    if (options.mode == ECHO) {
        if (stamp.sequence > connection->got)
            missing += stamp.sequence - connection->got;
        else if (stamp.sequence < connection->got)
            duplicates++;
        connection->got = stamp.sequence + 1;
        completed++;
        return;
    }
    uint32_t *expected = &connection->expected[options.mode == ROOMS ? 0 : stamp.publisher];
    if (stamp.sequence < *expected) { /* seen before, or late */
        duplicates++;
        return;
    }
    missing += stamp.sequence - *expected;
    *expected = (uint32_t)stamp.sequence + 1;
    if (options.mode == ROOMS) {
        connection->got = stamp.sequence + 1;
        room_deliveries++;
        completed = room_deliveries / ((uint64_t)options.connections / (uint64_t)options.rooms);
        return;
    }
    count_towards_completion(stamp.sequence * (uint64_t)options.publishers + stamp.publisher);
}

/* Handle one frame. The connection may be gone afterwards. */
static void on_frame(struct connection *connection, uint8_t first, const uint8_t *bytes, size_t count,
                     uint64_t now) {
    int final = first & 0x80;
    frames_in++;
    if (first & 0x70)
        bad_frames++; /* no extension was offered */
    switch (first & 15) {
    case OP_TEXT:
    case OP_BINARY:
        if (!final)
            connection->fragmented = 1; /* the stamp is in the first fragment */
        on_message(connection, bytes, count, now);
        break;
    case OP_CONTINUATION:
        if (!connection->fragmented)
            bad_frames++;
        if (final)
            connection->fragmented = 0;
        break;
    case OP_PING:
        queue_frame(connection, OP_PONG, bytes, count);
        send_waiting(connection);
        break;
    case OP_PONG: break;
    case OP_CLOSE:
        clean_closes++;
        if (phase != CLOSING) {
            closed_by_peer++;
            queue_frame(connection, OP_CLOSE, bytes, count < 2 ? 0 : 2);
            send_waiting(connection);
        }
        disconnect(connection);
        break;
    default: bad_frames++;
    }
}

/* Handle all complete frames in bytes[0..count); returns how many bytes that were. */
static size_t on_frames(struct connection *connection, const uint8_t *bytes, size_t count, uint64_t now) {
    size_t at = 0;
    while (count - at >= 2) {
        const uint8_t *frame = bytes + at;
        size_t header = 2;
        uint64_t length = frame[1] & 127;
        if (frame[1] & 0x80) { /* a server must not mask */
            bad_frames++;
            disconnect(connection);
            return count;
        }
        if (length == 126) {
            if (count - at < 4)
                break;
            length = (uint64_t)frame[2] << 8 | frame[3];
            header = 4;
        } else if (length == 127) {
            if (count - at < 10)
                break;
            length = 0;
            for (int i = 0; i < 8; i++)
                length = length << 8 | frame[2 + i];
            header = 10;
        }
        if (count - at - header < length)
            break;
        on_frame(connection, frame[0], frame + header, length, now);
        if (connection->fd < 0)
            return count;
        at += header + length;
    }
    return at;
}

/* ------------------------------------------------------------- publishing */

static uint64_t rate_begin, rate_count; /* open loop: message i is due at begin + i / rate */

static uint64_t due_time(void) {
    return rate_begin + (uint64_t)((double)rate_count * 1e9 / options.rate);
}

/* Publish what is due, the publishers taking turns; what one of them publishes leaves in one write. */
static void publish(void) {
    struct connection *touched[256];
    int touched_count = 0;
    if (options.mode != FANOUT || (phase != WARMING && phase != MEASURING))
        return;
    for (int burst = 0; burst < 256; burst++) {
        uint64_t stamp;
        if (options.count && published >= (uint64_t)options.count)
            break;
        if (options.rate > 0) {
            stamp = due_time();
            if (stamp > now_ns())
                break;
            rate_count++;
        } else {
            if (published - completed >= (uint64_t)options.pipeline)
                break;
            stamp = now_ns();
        }
        if (published - completed >= RING - 1) { /* the server is hopelessly behind */
            skipped++;
            continue;
        }
        unsigned publisher = (unsigned)(published % (uint64_t)options.publishers);
        struct connection *connection = &connections[publisher];
        if (connection->fd < 0) {
            phase = DRAINING;
            break;
        }
        if (!connection->out_len)
            touched[touched_count++] = connection;
        queue_message(connection, publisher, (unsigned)(published / (uint64_t)options.publishers), stamp);
        published++;
    }
    for (int i = 0; i < touched_count; i++)
        send_waiting(touched[i]);
}

/* Publish what comes back to its sender: its echo, or what its room gets; every room has one who publishes. */
static void publish_own(struct connection *connection, uint64_t now) {
    int was_waiting = connection->out_len != 0;
    if (options.mode == ROOMS && connection - connections >= options.rooms)
        return;
    while (connection->sent - connection->got < (uint64_t)options.pipeline) {
        if (options.mode == ROOMS && options.count && published >= (uint64_t)options.count)
            break;
        queue_message(connection, (unsigned)connection->room, (unsigned)connection->sent++, now);
        published++;
    }
    if (!was_waiting && connection->out_len)
        send_waiting(connection);
}

static void arm_timer(void) {
    if (options.rate <= 0 || (phase != WARMING && phase != MEASURING))
        return;
    uint64_t due = due_time();
    struct itimerspec setting = {
        .it_value = {.tv_sec = (time_t)(due / NANOSECONDS), .tv_nsec = (long)(due % NANOSECONDS)}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &setting, NULL);
}

/* ------------------------------------------------------------ connections */

static char request[2048], bystander_request[2048], room_request[2048];

static void write_request(char *to, size_t size, const char *path) {
    int length = snprintf(to, size,
                          "GET %s HTTP/1.1\r\n"
                          "Host: %s:%d\r\n"
                          "Upgrade: websocket\r\n"
                          "Connection: Upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                          "Sec-WebSocket-Version: 13\r\n"
                          "%s%s%s\r\n",
                          path, options.host, options.port,
                          options.subprotocol ? "Sec-WebSocket-Protocol: " : "",
                          options.subprotocol ? options.subprotocol : "", options.subprotocol ? "\r\n" : "");
    if (length >= (int)size)
        die("--path, --bystander-path or --subprotocol is too long");
}

static void requests_init(void) {
    write_request(request, sizeof request, options.path);
    write_request(bystander_request, sizeof bystander_request, options.bystander_path);
}

static void start_connecting(struct connection *connection, int index) {
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET};
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        die("socket: %s (connection %d; raise ulimit -n)", strerror(errno), index);
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connection->stalled && options.receive_buffer)
        setsockopt(connection->fd, SOL_SOCKET, SO_RCVBUF, &options.receive_buffer,
                   sizeof options.receive_buffer);
    if (options.sources > 0) {
        setsockopt(connection->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (unsigned)(index % options.sources));
        if (bind(connection->fd, (struct sockaddr *)&address, sizeof address))
            die("bind: %s", strerror(errno));
    }
    address.sin_port = htons((uint16_t)(connection->other ? options.other_port : options.port));
    if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1)
        die("--host must be an IPv4 address");
    connection->state = CONNECTING;
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    watch(EPOLL_CTL_ADD, connection, EPOLLOUT);
}

static void fail(struct connection *connection, const char *text) {
    if (!failed++) /* the first says enough */
        fprintf(stderr, "wsload: %.300s\n", text);
    disconnect(connection);
}

static void on_connected(struct connection *connection) {
    int error = 0;
    socklen_t size = sizeof error;
    const char *asked = connection->bystander ? bystander_request : request;
    if (options.mode == ROOMS) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%d", options.path, connection->room);
        write_request(room_request, sizeof room_request, path);
        asked = room_request;
    }
    ssize_t length = (ssize_t)strlen(asked);
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error || send(connection->fd, asked, (size_t)length, MSG_NOSIGNAL) != length) {
        fail(connection, strerror(error ? error : errno));
        return;
    }
    connection->state = HANDSHAKE;
    watch(EPOLL_CTL_MOD, connection, EPOLLIN);
}

/* Whether the response is the 101 that was asked for (RFC 6455 section 4.1). */
static int is_accepted(const char *response) {
    if (strncmp(response, "HTTP/1.1 101", 12) != 0 || !strcasestr(response, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        return 0;
    if (!options.subprotocol)
        return 1;
    const char *selected = strcasestr(response, "sec-websocket-protocol:");
    return selected && strcasestr(selected, options.subprotocol);
}

static void on_response(struct connection *connection) {
    uint8_t *end = memmem(connection->in, connection->in_len, "\r\n\r\n", 4);
    if (!end)
        return;
    size_t length = (size_t)(end - connection->in) + 4;
    char *response = strndup((char *)connection->in, length);
    int accepted = is_accepted(response);
    if (!accepted)
        fail(connection, response);
    free(response);
    if (!accepted)
        return;

    connection->state = OPEN;
    opened++;
    connect_end = now_ns();
    size_t rest = connection->in_len - length;
    if (rest) {
        size_t used = on_frames(connection, connection->in + length, rest, connect_end);
        if (connection->fd < 0)
            return;
        memmove(connection->in, connection->in + length + used, rest - used);
        connection->in_len = (uint32_t)(rest - used);
    } else { /* ten thousand idle buffers would be measured as nothing but noise */
        free(connection->in);
        connection->in = NULL;
        connection->in_len = connection->in_cap = 0;
    }
    if (options.hello && connection->fd >= 0) {
        queue_frame(connection, OP_TEXT, options.hello, strlen(options.hello));
        send_waiting(connection);
    }
    if (connection->stalled)
        watch(EPOLL_CTL_MOD, connection, 0);
}

static void on_readable(struct connection *connection) {
    static uint8_t buffer[1 << 18];
    ssize_t received = recv(connection->fd, buffer, sizeof buffer, 0);
    if (received <= 0) {
        if (received < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (connection->state == HANDSHAKE)
            failed++;
        else if (phase != CLOSING)
            closed_by_peer++;
        disconnect(connection);
        return;
    }
    reads_in++;
    if (connection->state == HANDSHAKE) {
        keep_incomplete(connection, buffer, (size_t)received);
        on_response(connection);
        return;
    }
    uint64_t now = now_ns();
    if (!connection->in_len) {
        size_t used = on_frames(connection, buffer, (size_t)received, now);
        if (connection->fd >= 0 && used < (size_t)received)
            keep_incomplete(connection, buffer + used, (size_t)received - used);
    } else {
        keep_incomplete(connection, buffer, (size_t)received);
        size_t used = on_frames(connection, connection->in, connection->in_len, now);
        if (connection->fd < 0)
            return;
        memmove(connection->in, connection->in + used, connection->in_len - used);
        connection->in_len -= (uint32_t)used;
    }
    if ((options.mode == ECHO || options.mode == ROOMS) && connection->fd >= 0 && phase < DRAINING)
        publish_own(connection, now);
}

static void on_event(const struct epoll_event *event) {
    struct connection *connection = &connections[event->data.u32];
    if (connection->fd < 0)
        return;
    if (connection->state == CONNECTING) {
        on_connected(connection);
        return;
    }
    if (event->events & EPOLLOUT)
        send_waiting(connection);
    if (connection->fd < 0 || !(event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    if (connection->stalled && connection->state == OPEN) { /* it does not read: the peer has hung up */
        closed_by_peer++;
        disconnect(connection);
    } else {
        on_readable(connection);
    }
}

/* Read a little on the connections that are stalled, ten times a second. */
static void trickle(uint64_t now) {
    static uint64_t next;
    static uint8_t buffer[1 << 16];
    size_t most = (size_t)options.trickle / 10;
    if (!most || now < next)
        return;
    next = now + 100000000;
    for (int i = options.connections - options.stalled; i < options.connections; i++)
        if (connections[i].fd >= 0 && connections[i].state == OPEN)
            (void)!recv(connections[i].fd, buffer, most < sizeof buffer ? most : sizeof buffer, 0);
}

/* --------------------------------------------------------------- the loop */

/* Run until the time `until`, or until done() says so. */
static void run(uint64_t until, int (*done)(void)) {
    static struct epoll_event events[1024];
    for (;;) {
        uint64_t now = now_ns();
        if (now >= until || (done && done()))
            return;
        trickle(now);
        uint64_t wait_ms = (until - now) / 1000000 + 1;
        int ready = epoll_wait(epoll_fd, events, LENGTH_OF(events), wait_ms > 100 ? 100 : (int)wait_ms);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.u32 == UINT32_MAX) {
                uint64_t expirations;
                if (read(timer_fd, &expirations, sizeof expirations) > 0)
                    publish();
            } else {
                on_event(&events[i]);
                if ((i & 63) == 63 && options.rate > 0)
                    publish(); /* a long round must not delay what is due */
            }
        }
        publish();
        arm_timer();
    }
}

static int all_connected(void) {
    while (started < options.connections && started - opened - failed < options.in_flight) {
        start_connecting(&connections[started], started);
        started++;
    }
    return opened + failed >= options.connections;
}

static int all_counted(void) {
    return phase == DRAINING || (options.count && completed >= (uint64_t)options.count);
}

static int all_delivered(void) {
    return completed >= published;
}

static int all_closed(void) {
    for (int i = 0; i < options.connections; i++)
        if (connections[i].fd >= 0 && !connections[i].stalled)
            return 0;
    return 1;
}

/* ------------------------------------------------------------- the phases */

struct result {
    double connect_seconds, connect_cpu;              /* CPU: the server's */
    long rss_before, rss_connected, rss_max, rss_end; /* KiB */
    long pss_before, pss_connected;
    double seconds, cpu, other_cpu, store_cpu, own_cpu; /* of MEASURING */
    uint64_t published, frames, reads;
    int closed_by_peer, stalled_open;
};

static void prepare(void) {
    struct rlimit descriptors;
    getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
    if ((rlim_t)options.connections + 10 > descriptors.rlim_cur)
        die("%d connections need more than %ld file descriptors", options.connections,
            (long)descriptors.rlim_cur);
    signal(SIGPIPE, SIG_IGN);

    connections = calloc((size_t)options.connections, sizeof *connections);
    uint32_t *expected = calloc((size_t)options.connections * (size_t)options.publishers, sizeof *expected);
    for (int i = 0; i < options.connections; i++) {
        connections[i].fd = -1;
        connections[i].stalled = i >= options.connections - options.stalled;
        connections[i].bystander = i >= options.connections - options.bystanders;
        connections[i].other =
            options.other_port && (options.others ? i >= options.connections - options.others : i % 2);
        connections[i].room = options.mode == ROOMS ? i % options.rooms : 0;
        connections[i].expected = expected + (size_t)i * (size_t)options.publishers;
    }
    requests_init();
    payload_init();

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event);
}

static void connect_all(struct result *result) {
    double cpu = server_cpu();
    result->rss_before = server_rss();
    result->pss_before = options.mode == CONNECT ? server_pss() : 0;
    connect_begin = now_ns();
    run(after(options.timeout), all_connected);
    result->connect_seconds = (double)(connect_end - connect_begin) / 1e9;
    result->connect_cpu = server_cpu() - cpu;
    if (opened < options.connections)
        fprintf(stderr, "wsload: %d of %d connections opened, %d failed\n", opened, options.connections,
                failed);
    if (!opened)
        exit(1);
    run(after(options.settle), NULL);
    result->rss_max = result->rss_connected = server_rss();
    result->pss_connected = options.mode == CONNECT ? server_pss() : 0;
    for (int i = 0; i < options.connections; i++)
        receivers += connections[i].fd >= 0 && !connections[i].stalled && !connections[i].bystander;
}

static void count_missing(void) {
    if (options.mode == ECHO) {
        missing += published - completed;
        return;
    }
    for (int i = 0; i < options.connections; i++) {
        if (connections[i].fd < 0 || connections[i].stalled || connections[i].bystander)
            continue;
        if (options.mode == ROOMS) {
            missing += connections[connections[i].room].sent - *connections[i].expected;
            continue;
        }
        for (int k = 0; k < options.publishers; k++) {
            uint64_t of_all = published / (uint64_t)options.publishers;
            of_all += (uint64_t)k < published % (uint64_t)options.publishers;
            if (connections[i].expected[k] < of_all)
                missing += of_all - connections[i].expected[k];
        }
    }
}

static void measure(struct result *result) {
    phase = WARMING;
    rate_begin = now_ns() + 1000000;
    publish();
    arm_timer();
    if (options.mode == ECHO || options.mode == ROOMS)
        for (int i = 0; i < options.connections; i++)
            if (connections[i].fd >= 0)
                publish_own(&connections[i], now_ns());
    run(after(options.warmup), all_counted);

    double cpu = server_cpu(), own = own_cpu();
    double other = cpu_of(options.other_pid), store = cpu_of(options.store_pid);
    uint64_t already_published = published, frames = frames_in, reads = reads_in;
    uint64_t begin = now_ns(), end = begin + (uint64_t)(options.duration * 1e9);
    if (phase == WARMING)
        phase = MEASURING;
    while (now_ns() < end && !all_counted()) {
        uint64_t step = now_ns() + NANOSECONDS / 4;
        run(step < end ? step : end, all_counted);
        long rss = server_rss();
        if (rss > result->rss_max)
            result->rss_max = rss;
    }
    result->seconds = (double)(now_ns() - begin) / 1e9;
    result->cpu = server_cpu() - cpu;
    result->other_cpu = cpu_of(options.other_pid) - other;
    result->store_cpu = cpu_of(options.store_pid) - store;
    result->own_cpu = own_cpu() - own;
    result->published = published - already_published;
    result->frames = frames_in - frames;
    result->reads = reads_in - reads;

    phase = DRAINING;
    run(after(options.drain), all_delivered);
    count_missing();
}

/* The closing handshake with everyone who reads (RFC 6455 section 7.1.2), then the rest at once. */
static void close_all(struct result *result) {
    static const uint8_t NORMAL_CLOSURE[2] = {1000 >> 8, 1000 & 255};
    result->rss_end = server_rss();
    result->closed_by_peer = closed_by_peer;
    phase = CLOSING;
    clean_closes = 0;
    for (int i = 0; i < options.connections; i++) {
        struct connection *connection = &connections[i];
        if (connection->fd < 0)
            continue;
        if (connection->stalled) {
            result->stalled_open++;
            continue;
        }
        queue_frame(connection, OP_CLOSE, NORMAL_CLOSURE, sizeof NORMAL_CLOSURE);
        send_waiting(connection);
    }
    run(after(3), all_closed);
    for (int i = 0; i < options.connections; i++)
        disconnect(&connections[i]);
}

static double over(double value, double divisor) {
    return divisor > 0 ? value / divisor : 0;
}

static void report(const struct result *r) {
    printf("{\"mode\":\"%s\",\"conns\":%d,\"opened\":%d,\"failed\":%d,\"connect_s\":%.4f,\"connects_per_s\":%"
           ".1f,"
           "\"server_cpu_per_connect_us\":%.1f,",
           MODE_NAMES[options.mode], options.connections, opened, failed, r->connect_seconds,
           over(opened, r->connect_seconds), r->connect_cpu / opened * 1e6);
    printf("\"rss_before_kib\":%ld,\"rss_connected_kib\":%ld,\"rss_max_kib\":%ld,\"rss_end_kib\":%ld,"
           "\"rss_per_conn_bytes\":%.0f,\"pss_per_conn_bytes\":%.0f,",
           r->rss_before, r->rss_connected, r->rss_max, r->rss_end,
           (double)(r->rss_connected - r->rss_before) * 1024 / opened,
           (double)(r->pss_connected - r->pss_before) * 1024 / opened);
    printf("\"seconds\":%.3f,\"published\":%llu,\"published_per_s\":%.1f,\"deliveries\":%llu,"
           "\"deliveries_per_s\":%.1f,\"frames_per_read\":%.2f,",
           r->seconds, (ull)r->published, over((double)r->published, r->seconds), (ull)measured,
           over((double)measured, r->seconds), over((double)r->frames, (double)r->reads));
    printf("\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,\"mean_us\":%.1f,",
           latency_us(&latency, .5), latency_us(&latency, .99), latency_us(&latency, .999),
           (double)latency.max / 1e3, over(latency.sum / 1e3, (double)latency.count));
    printf(
        "\"missing\":%llu,\"duplicate_or_late\":%llu,\"bad_frames\":%llu,\"unstamped\":%llu,\"strays\":%llu,"
        "\"skipped\":%llu,"
        "\"closed_by_server\":%d,\"clean_closes\":%d,\"stalled_still_open\":%d,",
        (ull)missing, (ull)duplicates, (ull)bad_frames, (ull)unstamped, (ull)strays, (ull)skipped, r->closed_by_peer,
        clean_closes, r->stalled_open);
    printf("\"server_cpu_s\":%.2f,\"server_cpu_us_per_delivery\":%.3f,\"server_cpu_share\":%.3f,"
           "\"client_cpu_share\":%.3f",
           r->cpu, over(r->cpu * 1e6, (double)measured), over(r->cpu, r->seconds),
           over(r->own_cpu, r->seconds));
    if (options.other_port)
        printf(",\"other_p50_us\":%.1f,\"other_p99_us\":%.1f,\"other_cpu_s\":%.2f,\"store_cpu_s\":%.2f",
               latency_us(&other_latency, .5), latency_us(&other_latency, .99), r->other_cpu, r->store_cpu);
    printf("}\n");
}

int main(int argc, char **argv) {
    struct result result = {0};
    parse_options(argc, argv);
    prepare();
    connect_all(&result);
    if (options.mode != CONNECT)
        measure(&result);
    close_all(&result);
    report(&result);
    return missing || duplicates || bad_frames || strays ? 2 : 0;
}
