/*
 * Processes that images start (CreateProcess), in the parent and in the child.
 *
 * A child is the peldr command of the image's word size: `peldr run --child=3 IMAGE`. What the
 * child gets is a letter: the command line as given, environment, start-up information, inherited
 * handles. It travels over a socket that the child finds at descriptor 3, never through the host's
 * argument vector. Over the same socket the child reports that it is set up: from then on it can be
 * opened, and handles can be duplicated into it. Then the socket is closed.
 *
 * The host's environment of the parent stays the environment of the child's host side (PELDR_PATH,
 * XDG_RUNTIME_DIR ...); the Windows environment is in the letter.
 */
#ifndef WIN32_CHILD_H
#define WIN32_CHILD_H

#include "loader/ke/ke.h"
#include "loader/ob/parcel.h"
#include "loader/win32/types.h"

/* ---- which file (child_find.c) ------------------------------------------------------------------
 */

struct child_image {
    char *path; /* host path, malloc'ed */
    uint16_t machine;
    bool gui;
    /* The application name ended behind this many characters of an unquoted command line with
     * blanks in the name: the child sees them quoted. 0 = the line stays as it is. */
    size_t quote;
};
/*
 * CreateProcess's search: `application` as it stands, or the first token of `line`. A Win32 error;
 * ERROR_BAD_EXE_FORMAT when the file is no image that can run.
 */
uint32_t child_find(const WCHAR *application, const WCHAR *line, struct child_image *out);
void child_image_free(struct child_image *image);

/* ---- the letter (child_letter.c) ---------------------------------------------------------------
 */

enum {
    CHILD_SUSPENDED = 0x1,
    CHILD_NO_CTRL_C = 0x2,  /* Ctrl+C is ignored (CREATE_NEW_PROCESS_GROUP) */
    CHILD_STD_STREAM = 0x4, /* << i: standard handle i is over the host's stream i */
    CHILD_WINDOWS_AT = 8,   /* the enum pe_windows that the child stands for begins at this bit */
};

/* An inherited handle: same value, same access. */
struct child_handle {
    uint32_t handle, access, flags;
    struct ob_parcel parcel;
};

/* Both word sizes read it: fixed-width fields. */
struct child_look {
    uint32_t flags;  /* CHILD_* */
    uint32_t std[3]; /* input, output, error; 0 = none */
    uint32_t look[9];
};

enum child_text {
    CHILD_LINE,        /* the command line, UTF-16 as the next ones */
    CHILD_ENVIRONMENT, /* a block with both NULs */
    CHILD_TITLE,
    CHILD_DESKTOP,
    CHILD_RUNTIME, /* lpReserved2: bytes */
    CHILD_IMAGE,   /* host path: bytes with a NUL; last, because it leaves nothing aligned */
    CHILD_TEXTS
};

struct child_letter {
    struct child_look look;
    struct {
        const void *bytes;
        uint32_t size; /* bytes */
    } texts[CHILD_TEXTS];
    struct child_handle *handles; /* malloc'ed */
    uint32_t handle_count;
    int record_fd;
    void *memory; /* of a letter that was received: what texts point into */
};

nt_status child_letter_send(int socket, const struct child_letter *letter);
nt_status child_letter_receive(int socket, struct child_letter *out, struct pe_error *err);
/* Closes the descriptors of parcels that nobody has unpacked, and the record's. */
void child_letter_free(struct child_letter *letter);
struct ke_wide child_letter_text(const struct child_letter *letter, enum child_text which);

/* What the child says once it is set up. */
struct child_report {
    nt_status status;
    uint32_t thread_id;
};

/* ---- starting (child_start.c, child_command.c) --------------------------------------------------
 */

struct child_start {
    const struct child_image *image;
    const char *directory; /* host path; NULL = this process's */
    int streams[3];        /* become the child's 0, 1, 2; -1 = /dev/null */
    bool detached;         /* a session of its own, without the terminal */
};
/* A Win32 error. `*process` is a new reference; `letter->record_fd` is set and taken. */
uint32_t child_start(const struct child_start *how, struct child_letter *letter,
                     struct ob_object **process, uint32_t *process_id, uint32_t *thread_id);
/* The command for images of that machine; false after saying on standard error what is missing. */
bool child_command(uint16_t machine, char *out, size_t size);

/* ---- the child's side (child_arrive.c) ----------------------------------------------------------
 */

/* Takes the letter: record, handles, standard handles, environment. */
nt_status child_arrive(int socket, struct child_letter *out, struct pe_error *err);
/* Tells the parent how that went, and closes the socket. */
void child_report(int socket, nt_status status);

/* ---- the thread of another process (childthread.c) ----------------------------------------------
 */

/*
 * Behind PROCESS_INFORMATION.hThread: the first thread of another process. It is signaled when that
 * process has ended; what is done with it is a request to the process (OB_REQUEST_THREAD).
 */
extern const struct ob_type child_thread_type;
struct ob_object *child_thread_create(struct ob_object *process, uint32_t thread_id,
                                      bool suspended);
uint32_t child_thread_id(struct ob_object *thread);
uint32_t child_thread_process_id(struct ob_object *thread);
enum child_thread_op {
    CHILD_THREAD_SUSPEND = 1,
    CHILD_THREAD_RESUME,
    CHILD_THREAD_TERMINATE,
    CHILD_THREAD_EXIT_CODE,
};
/* `value` in: exit code of TERMINATE; out: previous count, or exit code. */
nt_status child_thread_request(struct ob_object *thread, enum child_thread_op op, uint32_t *value);
/* The other side of it; once, before the service starts. */
void child_thread_register(void);

#endif
