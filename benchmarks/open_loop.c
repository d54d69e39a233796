/* The open loop itself: sends each request when it is due, and notes what became of it.
 *
 *     open_loop ADDRESS PORT <> FILE
 *
 * The file is a load, its queries, its requests and the requests' bytes, as generator.py lays them
 * out. It is mapped: what becomes of a query is written where its due time stands. Times are
 * seconds after `zero`, which is on the monotonic clock. Where the loop is closed, each connection
 * asks again as soon as it is answered; then the bodies of status 200 go to standard output, each
 * with a NUL behind it, which no JSON holds.
 *
 * To fall asleep and wake up is what costs most, several times what it takes to send. So it wakes
 * up to send, and takes what came meanwhile: the kernel has noted when.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DIGITS = 9, EVENTS = 256, ROOM = 4096, NO_ANSWER = 0, OK = 200 };

struct load {
    int64_t queries, requests, connections, first, closed;
    double give_up, zero, elapsed;
};
/* `took` is negative until the query has ended. */
struct query {
    double due, took, late;
    int32_t status;
    bool is_default;
};
/* Where its bytes begin, how many, and where the counter's digits are among them, or -1. */
struct request {
    int64_t start, size, digits;
};
struct connection {
    int socket;
    struct query *query; /* which waits for its answer, if any */
    char *received;
    size_t have, room;
};

static struct load *load;
static struct query *queries, *next, *end;
static struct request *requests;
static char *bytes;
static struct sockaddr_in address = {.sin_family = AF_INET};
static int epoll;
static struct connection *connections, **idle; /* the one that was idle last is used first */
static int64_t idle_count;
static double idle_since;  /* since when there is one */
static double clocks_apart; /* from the clock that the kernel notes to ours */

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void *taken(void *memory) {
    if (memory == NULL) fail("memory");
    return memory;
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

static double seconds(struct timespec time) {
    return time.tv_sec + time.tv_nsec / 1e9;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return seconds(time) - load->zero;
}

static void open_connection(struct connection *connection) {
    struct epoll_event wanted = {EPOLLIN | EPOLLRDHUP | EPOLLET, {connection}};
    const int yes = 1;
    int opened = connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (opened < 0) fail("socket");
    if (connect(opened, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(opened, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(opened, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof yes);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, opened, &wanted)) fail("epoll_ctl");
}

/* Where there is something left to ask. */
static void open_anew(struct connection *connection) {
    close(connection->socket);
    connection->have = 0;
    if (next < end) open_connection(connection);
}

static void release(struct connection *connection) {
    if (idle_count == 0) idle_since = now();
    idle[idle_count++] = connection;
}

static void note(struct connection *connection, double at, int status, bool is_default) {
    struct query *query = connection->query;
    connection->query = NULL;
    query->took = at - query->due;
    query->status = status;
    query->is_default = is_default;
}

/* Another connection in the place of this one, whose query, if it has one, gets no answer. */
static void replace(struct connection *connection) {
    bool was_idle = connection->query == NULL;
    if (!was_idle) note(connection, now(), NO_ANSWER, false);
    open_anew(connection);
    if (!was_idle) release(connection);
}

static void write_counter(char *digits, int64_t counter) {
    for (int place = DIGITS; place-- > 0; counter /= 10) digits[place] = '0' + counter % 10;
}

static void send_due(void) {
    for (; next < end && idle_count; next++) {
        double at = now();
        if (at < next->due) return;
        struct connection *connection = idle[--idle_count];
        /* What it had to wait for a connection is not the generator's fault. */
        next->late = at - larger(next->due, idle_since);
        if (load->closed) next->due = at;
        int64_t number = next - queries;
        struct request *request = &requests[number % load->requests];
        char *from = bytes + request->start;
        if (request->digits >= 0) write_counter(from + request->digits, load->first + number);
        connection->query = next;
        ssize_t sent = send(connection->socket, from, request->size, MSG_NOSIGNAL);
        if (sent != request->size) replace(connection);
    }
}

/* Note the answer, if all of it is there. */
static void read_answer(struct connection *connection, double arrived) {
    char *head = connection->received, *body = memmem(head, connection->have, "\r\n\r\n", 4);
    if (body == NULL) return;
    *body = '\0';
    const char *length = strcasestr(head, "\r\nContent-Length:");
    size_t size = length ? strtoul(strchr(length, ':') + 1, NULL, 10) : 0;
    int status = strlen(head) > 9 ? atoi(head + 9) : NO_ANSWER; /* behind "HTTP/1.1 " */
    *body = '\r';
    body += 4;
    size_t whole = body - head + size;
    if (connection->have < whole) return;
    note(connection, arrived, status, memmem(body, size, "\"default\":true", 14) != NULL);
    if (load->closed && status == OK) {
        fwrite(body, 1, size, stdout);
        putchar('\0');
    }
    connection->have -= whole;
    if (connection->have) open_anew(connection); /* it says more than it was asked */
    release(connection);
}

/* When the kernel got what was just read, or now where it doesn't say. */
static double arrival(struct msghdr *message) {
    struct cmsghdr *told = CMSG_FIRSTHDR(message);
    struct timespec time;
    if (told == NULL || told->cmsg_type != SCM_TIMESTAMPNS) return now();
    memcpy(&time, CMSG_DATA(told), sizeof time);
    return seconds(time) + clocks_apart;
}

/* Take what the socket has, until it has no more: only of what comes then we are told again. */
static void receive(struct connection *connection, bool hung_up) {
    for (ssize_t came, room;;) {
        if (connection->room - connection->have < ROOM / 2) {
            connection->room = 2 * connection->room + ROOM;
            connection->received = taken(realloc(connection->received, connection->room));
        }
        room = connection->room - connection->have;
        char control[CMSG_SPACE(sizeof(struct timespec))];
        struct iovec to = {connection->received + connection->have, room};
        struct msghdr message = {
            .msg_iov = &to, .msg_iovlen = 1,
            .msg_control = control, .msg_controllen = sizeof control,
        };
        came = recvmsg(connection->socket, &message, MSG_DONTWAIT);
        if (came < 0 && errno == EAGAIN) return;
        /* It has hung up, or speaks without being asked. */
        if (came <= 0 || connection->query == NULL) {
            replace(connection);
            return;
        }
        connection->have += came;
        read_answer(connection, arrival(&message));
        if (came < room && !hung_up) return;
    }
}

/* Take what has come, and wait for something where nothing can be sent before. */
static void take_answers(void) {
    struct epoll_event events[EVENTS];
    struct timespec wall;
    bool waits = next == end || idle_count == 0;
    int most_ms = waits ? 1 + 1e3 * larger(0.0, load->give_up - now()) : 0;
    int count = epoll_wait(epoll, events, EVENTS, most_ms);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    clock_gettime(CLOCK_REALTIME, &wall);
    clocks_apart = now() - seconds(wall);
    for (int n = 0; n < count; n++)
        receive(events[n].data.ptr, events[n].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

static void sleep_until(double at) {
    at += load->zero;
    struct timespec time = {at, (at - (int64_t)at) * 1e9};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static void map_file(void) {
    struct stat file;
    if (fstat(STDIN_FILENO, &file)) fail("the file of the load");
    const int how = MAP_SHARED | MAP_POPULATE;
    load = mmap(NULL, file.st_size, PROT_READ | PROT_WRITE, how, STDIN_FILENO, 0);
    if (load == MAP_FAILED) fail("the file of the load");
    next = queries = (struct query *)(load + 1);
    end = queries + load->queries;
    requests = (struct request *)end;
    bytes = (char *)(requests + load->requests);
}

int main(int count, char **arguments) {
    if (count != 3 || !inet_aton(arguments[1], &address.sin_addr)) return 2;
    address.sin_port = htons(atoi(arguments[2]));
    map_file();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1");
    connections = taken(calloc(load->connections, sizeof *connections));
    idle = taken(calloc(load->connections, sizeof *idle));
    for (int64_t n = 0; n < load->connections; n++) {
        open_connection(&connections[n]);
        release(&connections[n]);
    }
    load->zero = now();
    idle_since = 0.0;
    while ((next < end || idle_count < load->connections) && now() < load->give_up) {
        if (next < end && idle_count) sleep_until(next->due);
        take_answers(); /* first: a connection may have been closed meanwhile */
        send_due();
    }
    load->elapsed = now();
    /* One that was never sent, or not answered, has waited until now. */
    for (struct query *query = queries; query < end; query++)
        if (query->took < 0.0) query->took = load->elapsed - query->due;
    return fflush(stdout) ? 1 : 0;
}
