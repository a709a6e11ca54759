/*
 * Messages on a stream socket (process.h, "the service"): both ends send and receive in steps, so
 * that the service can serve many and a caller can keep to its deadline.
 */
#ifndef OB_WIRE_H
#define OB_WIRE_H

#include "loader/ob/process.h"

#define OB_WIRE_MAX_REQUEST  (1u << 20)
#define OB_WIRE_MAX_REPLY    (64u << 20)
#define OB_CALL_MILLISECONDS 10000

/* What precedes the bytes; alike in both word sizes. */
struct ob_wire_header {
    uint32_t magic;
    uint32_t request;
    uint32_t status;
    uint32_t size;
    uint32_t fd_count;
    uint32_t reserved;
};

struct ob_transfer {
    struct ob_message *message; /* stays the caller's */
    struct ob_wire_header header;
    uint32_t limit; /* of what is received */
    uint64_t done;  /* bytes, header included */
};

/* For a zeroed message, of at most `limit` bytes. */
void ob_wire_start_receive(struct ob_transfer *transfer, struct ob_message *message,
                           uint32_t limit);
void ob_wire_start_send(struct ob_transfer *transfer, const struct ob_message *message);

enum ob_wire_step { OB_WIRE_DONE, OB_WIRE_AGAIN, OB_WIRE_BROKEN };
/* As far as it goes without waiting. What was received is the message's, also when it is broken. */
enum ob_wire_step ob_wire_receive(int fd, struct ob_transfer *transfer);
enum ob_wire_step ob_wire_send(int fd, struct ob_transfer *transfer);

/* The address of the service of a process: one of a few, so that somebody who has taken the first
 * name (the same id in another namespace of process ids) does not keep it away. */
#define OB_SERVICE_NAMES 4
struct sockaddr_un;
uint32_t ob_service_address(uint32_t id, int attempt, struct sockaddr_un *out);
/* The process on the other side when it is of this user, else 0. */
uint32_t ob_service_peer(int fd);
/*
 * A connection to a process's service. `pidfd` (-1: none) must still be alive once connected, so
 * that it is the process meant. Gives up after `milliseconds`.
 */
nt_status ob_service_connect(uint32_t id, int pidfd, int milliseconds, int *fd,
                             struct pe_error *err);
/* One request on it; the connection stays the caller's. */
nt_status ob_service_exchange(int fd, const struct ob_message *request, struct ob_message *reply,
                              struct pe_error *err);
/* Whether the calling thread is the service's. */
bool ob_service_is_this_thread(void);
/* Whether a process has ended (zombies have). */
bool ob_pidfd_ended(int pidfd);

#endif
