/*
 * limit.c - the yardstick: what a WebSocket broadcast costs at least (RFC 6455).
 *
 *   cc -O2 -o limit limit.c; ./limit PORT loop|coalesce|uring|turn|rooms
 *                                                              (Linux, libc only; single thread, epoll)
 *
 * A message that one client sends goes to every client, its sender included. The frame is encoded once.
 *
 *   loop      for every message, one send(2) per client
 *   coalesce  all messages parsed from one read of a publisher leave in one send(2) per client
 *   uring     as loop, but the sends go to io_uring, 256 with one system call
 *   turn      all messages of one turn of the loop, whoever sent them, leave in one send of io_uring per client:
 *             the floor of what one core can do
 *   rooms     as turn, but a message goes to the clients of its own path only, /rooms/N with N < 4096; what all
 *             rooms have in one turn goes to io_uring together: the floor of many small rooms
 *
 * A client on the path /echo gets its own messages back and nobody else's (all of one read in one send).
 * The port is printed once it listens; port 0 lets the system choose one.
 *
 * It does no more than the load generator needs: no UTF-8 check, no fragmentation, no keepalive, no close
 * codes of its own. Bytes that a client does not take wait for it without bound, which no real server may do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_DESCRIPTORS = 1 << 20, READ_SIZE = 1 << 18, OUTGOING_SIZE = 1 << 20 };
enum { MAX_HEADER = 14, MAX_CONTROL_PAYLOAD = 125 };
enum { MAX_ROOMS = 4096, PLACES = 1024, BATCH = 256, MAX_JOBS = 1 << 16 };
enum mode { LOOP, COALESCE, URING, TURN, ROOMS };
static const char *const MODE_NAMES[] = {"loop", "coalesce", "uring", "turn", "rooms"};
enum opcode { OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

struct client {
    int fd;
    int index;        /* its place in `open_fds` */
    uint8_t upgraded; /* the 101 has been sent */
    uint8_t echo;     /* connected on /echo */
    int room;         /* connected on /rooms/N */

    uint8_t *in; /* an incomplete request or frame, kept from earlier reads */
    uint32_t in_len, in_cap;

    uint8_t *out; /* bytes [out_sent, out_len) that the kernel would not take yet */
    size_t out_len, out_cap, out_sent;
};

static struct client *clients[MAX_DESCRIPTORS]; /* by descriptor */
static int open_fds[MAX_DESCRIPTORS];           /* descriptors of upgraded clients, without holes */
static int open_count;
static int epoll_fd, listen_fd;
static enum mode mode;
static struct room {
    int *fds, count, cap;
} rooms[MAX_ROOMS];

static uint8_t read_buffer[READ_SIZE];
static uint8_t outgoing[OUTGOING_SIZE]; /* encoded frames of one read */

static void watch(int operation, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    epoll_ctl(epoll_fd, operation, fd, &event);
}

/* ---------------------------------------------------------------- sending */

/* Queue what the kernel would not take, and ask to be told when it will. */
static void keep_for_later(struct client *client, const uint8_t *bytes, size_t count) {
    if (client->out_len + count > client->out_cap) {
        client->out_cap = (client->out_len + count) * 2;
        client->out = realloc(client->out, client->out_cap);
    }
    memcpy(client->out + client->out_len, bytes, count);
    if (!client->out_len)
        watch(EPOLL_CTL_MOD, client->fd, EPOLLIN | EPOLLOUT);
    client->out_len += count;
}

static inline void send_to(struct client *client, const uint8_t *bytes, size_t count) {
    if (client->out_len) { /* what waits goes first */
        keep_for_later(client, bytes, count);
        return;
    }
    ssize_t sent = send(client->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == (ssize_t)count)
        return;
    if (sent < 0) {
        if (errno != EAGAIN)
            return; /* a dead connection: its epoll event will say so */
        sent = 0;
    }
    keep_for_later(client, bytes + sent, count - (size_t)sent);
}

static void send_waiting(struct client *client) {
    while (client->out_sent < client->out_len) {
        ssize_t sent = send(client->fd, client->out + client->out_sent, client->out_len - client->out_sent,
                            MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        client->out_sent += (size_t)sent;
    }
    client->out_sent = client->out_len = 0;
    watch(EPOLL_CTL_MOD, client->fd, EPOLLIN);
}

/* --------------------------------------------------------------- io_uring */

static int uring_fd;
static struct io_uring_sqe *places;
static struct io_uring_cqe *results;
static unsigned *places_tail, *places_mask, *places_order, *results_head, *results_tail, *results_mask;
static unsigned filled; /* places that are not submitted yet */
static struct {
    struct client *client;
    const uint8_t *bytes;
    size_t count;
} sends[PLACES]; /* what is in each of these, in the order of filling */

static void *map_uring(size_t size, off_t offset) {
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, uring_fd, offset);
}

/* Returns 0 where the system has no io_uring, or denies it. */
static int uring_init(void) {
    struct io_uring_params params = {0};
    uring_fd = (int)syscall(SYS_io_uring_setup, PLACES, &params);
    if (uring_fd < 0) {
        perror("limit: io_uring");
        return 0;
    }
    uint8_t *in = map_uring(params.sq_off.array + params.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
    uint8_t *out = map_uring(params.cq_off.cqes + params.cq_entries * sizeof *results, IORING_OFF_CQ_RING);
    places = map_uring(params.sq_entries * sizeof *places, IORING_OFF_SQES);
    places_tail = (unsigned *)(in + params.sq_off.tail);
    places_mask = (unsigned *)(in + params.sq_off.ring_mask);
    places_order = (unsigned *)(in + params.sq_off.array);
    results_head = (unsigned *)(out + params.cq_off.head);
    results_tail = (unsigned *)(out + params.cq_off.tail);
    results_mask = (unsigned *)(out + params.cq_off.ring_mask);
    results = (struct io_uring_cqe *)(out + params.cq_off.cqes);
    return 1;
}

/* Submit all filled places, and queue what the kernel would not take. */
static void uring_submit(void) {
    if (!filled)
        return;
    syscall(SYS_io_uring_enter, uring_fd, filled, filled, IORING_ENTER_GETEVENTS, NULL, 0);
    unsigned head = *results_head;
    for (; head != __atomic_load_n(results_tail, __ATOMIC_ACQUIRE); head++) {
        const struct io_uring_cqe *result = &results[head & *results_mask];
        unsigned i = (unsigned)result->user_data;
        if (result->res == (int)sends[i].count || (result->res < 0 && result->res != -EAGAIN))
            continue; /* all, or a dead connection: its epoll event will say so */
        size_t sent = result->res < 0 ? 0 : (size_t)result->res;
        keep_for_later(sends[i].client, sends[i].bytes + sent, sends[i].count - sent);
    }
    __atomic_store_n(results_head, head, __ATOMIC_RELEASE);
    filled = 0;
}

static void uring_send_to(struct client *client, const uint8_t *bytes, size_t count, unsigned most) {
    if (client->out_len) {
        keep_for_later(client, bytes, count);
        return;
    }
    unsigned tail = *places_tail, at = tail & *places_mask;
    places[at] = (struct io_uring_sqe){
        .opcode = IORING_OP_SEND,
        .fd = client->fd,
        .addr = (uintptr_t)bytes,
        .len = (uint32_t)count,
        .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL,
        .user_data = filled,
    };
    sends[filled].client = client;
    sends[filled].bytes = bytes;
    sends[filled].count = count;
    places_order[at] = at;
    __atomic_store_n(places_tail, tail + 1, __ATOMIC_RELEASE);
    if (++filled == most)
        uring_submit();
}

/* ------------------------------------------------------ what goes to whom */

static uint8_t *gathered; /* the frames of one turn */
static size_t gathered_count, gathered_cap;
static struct {
    int room;
    size_t at, count;
} jobs[MAX_JOBS]; /* which of them go to which room */
static int job_count;

/* Send what the turn has gathered. */
static void end_turn(void) {
    for (int job = 0; job < job_count; job++) {
        const struct room *room = &rooms[jobs[job].room];
        for (int i = 0; i < room->count; i++)
            uring_send_to(clients[room->fds[i]], gathered + jobs[job].at, jobs[job].count, PLACES);
    }
    if (mode == TURN && gathered_count)
        for (int i = 0; i < open_count; i++)
            uring_send_to(clients[open_fds[i]], gathered, gathered_count, BATCH);
    uring_submit();
    job_count = 0;
    gathered_count = 0;
}

static void gather(const struct client *sender, const uint8_t *bytes, size_t count) {
    if (job_count == MAX_JOBS)
        end_turn();
    if (gathered_count + count > gathered_cap) {
        gathered_cap = (gathered_count + count) * 2;
        gathered = realloc(gathered, gathered_cap);
    }
    memcpy(gathered + gathered_count, bytes, count);
    if (mode == ROOMS) {
        jobs[job_count].room = sender->room;
        jobs[job_count].at = gathered_count;
        jobs[job_count++].count = count;
    }
    gathered_count += count;
}

static void broadcast(const struct client *sender, const uint8_t *bytes, size_t count) {
    if (mode >= TURN) {
        gather(sender, bytes, count);
        return;
    }
    for (int i = 0; i < open_count; i++)
        if (mode == URING)
            uring_send_to(clients[open_fds[i]], bytes, count, BATCH);
        else
            send_to(clients[open_fds[i]], bytes, count);
    uring_submit();
}

/* Send the frames gathered in `outgoing` to whom messages of `sender` go. */
static void send_outgoing(struct client *sender, size_t count) {
    if (sender->echo)
        send_to(sender, outgoing, count);
    else
        broadcast(sender, outgoing, count);
}

static void enter_room(struct client *client) {
    struct room *room = &rooms[client->room];
    if (room->count == room->cap) {
        room->cap = room->cap * 2 + 16;
        room->fds = realloc(room->fds, (size_t)room->cap * sizeof *room->fds);
    }
    room->fds[room->count++] = client->fd;
}

static void leave_room(const struct client *client) {
    struct room *room = &rooms[client->room];
    for (int i = 0; i < room->count; i++)
        if (room->fds[i] == client->fd) {
            room->fds[i] = room->fds[--room->count];
            return;
        }
}

/* ----------------------------------------------------------------- frames */

/* Write one final, unmasked frame to `to` (RFC 6455 section 5.2); returns its length. */
static size_t encode(uint8_t *to, int opcode, const uint8_t *payload, size_t count) {
    size_t header = 2;
    to[0] = (uint8_t)(0x80 | opcode);
    if (count < 126) {
        to[1] = (uint8_t)count;
    } else if (count < 65536) {
        to[1] = 126;
        to[2] = (uint8_t)(count >> 8);
        to[3] = (uint8_t)count;
        header = 4;
    } else {
        to[1] = 127;
        for (int i = 0; i < 8; i++)
            to[2 + i] = (uint8_t)((uint64_t)count >> (56 - 8 * i));
        header = 10;
    }
    memcpy(to + header, payload, count);
    return header + count;
}

static void send_control(struct client *client, int opcode, const uint8_t *payload, size_t count) {
    uint8_t frame[2 + MAX_CONTROL_PAYLOAD];
    send_to(client, frame, encode(frame, opcode, payload, count));
}

/*
 * Handle all complete frames in bytes[0..count), unmasking them in place.
 * Sets `used` to the bytes handled. Returns 0 when the connection is over.
 */
static int on_frames(struct client *client, uint8_t *bytes, size_t count, size_t *used) {
    size_t at = 0, waiting = 0; /* `waiting`: bytes gathered in `outgoing` */
    int alive = 1;
    while (count - at >= 6) {
        uint8_t *frame = bytes + at;
        int opcode = frame[0] & 15;
        size_t header = 2;
        uint64_t length = frame[1] & 127;
        if (length == 126) {
            if (count - at < 8)
                break;
            length = (uint64_t)frame[2] << 8 | frame[3];
            header = 4;
        } else if (length == 127) {
            if (count - at < 14)
                break;
            length = 0;
            for (int i = 0; i < 8; i++)
                length = length << 8 | frame[2 + i];
            header = 10;
        }
        if (length > (opcode > OP_BINARY ? MAX_CONTROL_PAYLOAD : OUTGOING_SIZE - MAX_HEADER)) {
            alive = 0; /* it would not fit the buffers */
            break;
        }
        if (count - at < header + 4 + length)
            break;

        uint8_t *mask = frame + header, *payload = mask + 4;
        for (size_t i = 0; i < length; i++)
            payload[i] ^= mask[i & 3];
        at += header + 4 + length;

        if (opcode == OP_CLOSE) {
            send_control(client, OP_CLOSE, payload, length);
            alive = 0;
            break;
        }
        if (opcode == OP_PING) {
            send_control(client, OP_PONG, payload, length);
            continue;
        }
        if (opcode > OP_BINARY)
            continue;

        if (waiting + length + MAX_HEADER > sizeof outgoing) {
            send_outgoing(client, waiting);
            waiting = 0;
        }
        waiting += encode(outgoing + waiting, opcode, payload, length);
        if (!client->echo && (mode == LOOP || mode == URING)) {
            broadcast(client, outgoing, waiting);
            waiting = 0;
        }
    }
    if (waiting)
        send_outgoing(client, waiting);
    *used = at;
    return alive;
}

/* -------------------------------------------------------------- handshake */

static uint32_t rotate_left(uint32_t word, int bits) {
    return word << bits | word >> (32 - bits);
}

/* SHA-1 (RFC 3174) of up to 247 bytes; `digest` holds 20. */
static void sha1(const uint8_t *text, size_t count, uint8_t *digest) {
    uint32_t hash[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    uint8_t padded[256] = {0};
    size_t padded_count = ((count + 8) / 64 + 1) * 64;
    uint64_t bits = (uint64_t)count * 8;

    memcpy(padded, text, count);
    padded[count] = 0x80;
    for (int i = 0; i < 8; i++)
        padded[padded_count - 1 - i] = (uint8_t)(bits >> (8 * i));

    for (size_t block = 0; block < padded_count; block += 64) {
        uint32_t w[80];
        for (int i = 0; i < 16; i++) {
            const uint8_t *four = padded + block + 4 * i;
            w[i] = (uint32_t)four[0] << 24 | (uint32_t)four[1] << 16 | (uint32_t)four[2] << 8 | four[3];
        }
        for (int i = 16; i < 80; i++)
            w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);

        uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f, k;
            if (i < 20) {
                f = (b & c) | (~b & d);
                k = 0x5A827999;
            } else if (i < 40) {
                f = b ^ c ^ d;
                k = 0x6ED9EBA1;
            } else if (i < 60) {
                f = (b & c) | (b & d) | (c & d);
                k = 0x8F1BBCDC;
            } else {
                f = b ^ c ^ d;
                k = 0xCA62C1D6;
            }
            uint32_t next = rotate_left(a, 5) + f + e + k + w[i];
            e = d;
            d = c;
            c = rotate_left(b, 30);
            b = a;
            a = next;
        }
        hash[0] += a;
        hash[1] += b;
        hash[2] += c;
        hash[3] += d;
        hash[4] += e;
    }
    for (int i = 0; i < 20; i++)
        digest[i] = (uint8_t)(hash[i / 4] >> (24 - 8 * (i % 4)));
}

/* Sec-WebSocket-Accept of a key (RFC 6455 section 4.2.2); `accept` holds 29. Returns 0 for a key too long. */
static int accept_of_key(const char *key, size_t key_length, char *accept) {
    static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t digest[21] = {0}; /* one byte more makes seven groups of three */
    char text[128];
    if (key_length > 60)
        return 0;
    memcpy(text, key, key_length);
    memcpy(text + key_length, GUID, sizeof GUID - 1);
    sha1((uint8_t *)text, key_length + sizeof GUID - 1, digest);

    for (int i = 0, o = 0; i < 21; i += 3) {
        uint32_t three = (uint32_t)digest[i] << 16 | (uint32_t)digest[i + 1] << 8 | digest[i + 2];
        accept[o++] = BASE64[three >> 18];
        accept[o++] = BASE64[three >> 12 & 63];
        accept[o++] = BASE64[three >> 6 & 63];
        accept[o++] = BASE64[three & 63];
    }
    accept[27] = '=';
    accept[28] = 0;
    return 1;
}

/*
 * Answer the request in client->in once it is whole, setting `used` to its length (0 until then).
 * Returns 0 when it asks for no WebSocket.
 */
static int on_request(struct client *client, size_t *used) {
    static const char KEY[] = "sec-websocket-key: ";
    char *request = (char *)client->in;
    char accept[29], response[256];

    request[client->in_len] = 0;
    char *end = strstr(request, "\r\n\r\n");
    if (!end)
        return 1;
    char *key = strcasestr(request, KEY);
    if (!key)
        return 0;
    key += sizeof KEY - 1;
    if (!accept_of_key(key, strcspn(key, "\r"), accept))
        return 0;

    int count = sprintf(response,
                        "HTTP/1.1 101 Switching Protocols\r\n"
                        "Upgrade: websocket\r\n"
                        "Connection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\n\r\n",
                        accept);
    send_to(client, (uint8_t *)response, (size_t)count);
    client->echo = !strncmp(request, "GET /echo", 9);
    client->room = strncmp(request, "GET /rooms/", 11) ? 0 : atoi(request + 11) & (MAX_ROOMS - 1);
    enter_room(client);
    client->upgraded = 1;
    client->index = open_count;
    open_fds[open_count++] = client->fd;
    *used = (size_t)(end + 4 - request);
    return 1;
}

/* ------------------------------------------------------------ connections */

static void accept_clients(void) {
    int fd, one = 1;
    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        clients[fd] = calloc(1, sizeof(struct client));
        clients[fd]->fd = fd;
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

static void drop(struct client *client) {
    close(client->fd);
    clients[client->fd] = NULL;
    if (client->upgraded) { /* the last descriptor takes its place */
        leave_room(client);
        int last = open_fds[--open_count];
        open_fds[client->index] = last;
        if (last != client->fd)
            clients[last]->index = client->index;
    }
    free(client->in);
    free(client->out);
    free(client);
}

/* Read once and handle what is complete; the rest is kept. Returns 0 when the connection is over. */
static int on_readable(struct client *client) {
    ssize_t received = recv(client->fd, read_buffer, sizeof read_buffer, 0);
    if (received <= 0)
        return received < 0 && errno == EAGAIN;

    uint8_t *bytes = read_buffer;
    size_t count = (size_t)received, used = 0;
    if (client->in_len || !client->upgraded) {
        if (client->in_len + count + 1 > client->in_cap) { /* one more: on_request ends it with 0 */
            client->in_cap = (uint32_t)((client->in_len + count) * 2 + 1);
            client->in = realloc(client->in, client->in_cap);
        }
        memcpy(client->in + client->in_len, read_buffer, count);
        client->in_len += (uint32_t)count;
        bytes = client->in;
        count = client->in_len;
    }

    if (!client->upgraded && !on_request(client, &used))
        return 0;
    if (client->upgraded && used < count) {
        size_t framed = 0;
        if (!on_frames(client, bytes + used, count - used, &framed))
            return 0;
        used += framed;
    }

    if (bytes == client->in) {
        memmove(client->in, client->in + used, count - used);
        client->in_len = (uint32_t)(count - used);
        if (!client->in_len) {
            free(client->in);
            client->in = NULL;
            client->in_cap = 0;
        }
    } else if (used < count) {
        client->in_cap = (uint32_t)((count - used) * 2);
        client->in = malloc(client->in_cap);
        memcpy(client->in, bytes + used, count - used);
        client->in_len = (uint32_t)(count - used);
    }
    return 1;
}

/* Listen on 127.0.0.1 and print the port, which the system chooses where `port` is 0. Returns 0 on failure. */
static int listen_on(int port) {
    int one = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t size = sizeof address;
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listen_fd, (struct sockaddr *)&address, size) || listen(listen_fd, 4096) ||
        getsockname(listen_fd, (struct sockaddr *)&address, &size)) {
        perror("limit: cannot listen");
        return 0;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return 1;
}

int main(int argc, char **argv) {
    const unsigned modes = sizeof MODE_NAMES / sizeof *MODE_NAMES;
    unsigned asked = 0;
    while (argc == 3 && asked < modes && strcmp(argv[2], MODE_NAMES[asked]))
        asked++;
    if (argc != 3 || asked == modes) {
        fprintf(stderr, "usage: limit PORT loop|coalesce|uring|turn|rooms\n");
        return 1;
    }
    mode = (enum mode)asked;
    if (mode >= URING && !uring_init())
        return 1;

    struct rlimit descriptors;
    getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
    signal(SIGPIPE, SIG_IGN);

    if (!listen_on(atoi(argv[1])))
        return 1;
    epoll_fd = epoll_create1(0);
    watch(EPOLL_CTL_ADD, listen_fd, EPOLLIN);

    static struct epoll_event events[1024];
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, 1024, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listen_fd) {
                accept_clients();
                continue;
            }
            struct client *client = clients[fd];
            if (!client)
                continue; /* dropped earlier in this round */
            if (events[i].events & EPOLLOUT)
                send_waiting(client);
            if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !on_readable(client)) {
                end_turn(); /* so that nothing is sent to a descriptor that may have another client by then */
                drop(client);
            }
        }
        if (mode >= TURN)
            end_turn();
    }
}
