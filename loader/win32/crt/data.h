/*
 * Variables of the C runtime that images reach by name: _fmode, __argv, _environ and their like.
 *
 * msvcrt.dll exports them as data; UCRT gives their addresses by functions (__p__fmode). Both see
 * the same variables: those in msvcrt's image once it is mapped, until then the ones kept here.
 */
#ifndef WIN32_CRT_DATA_H
#define WIN32_CRT_DATA_H

#include "loader/win32/crt/internal.h"

struct crt_file;

/* Pointers to the variables; never NULL. */
struct crt_data {
    struct crt_file *iob; /* CRT_IOB_ENTRIES of them */
    int *fmode, *commode;
    int *argc;
    char ***argv, ***environment, ***initial_environment;
    crt_wchar ***wide_argv, ***wide_environment, ***wide_initial_environment;
    char **command_line, **program;
    crt_wchar **wide_command_line, **wide_program;
    int *mb_cur_max;
    crt_long *timezone;
    int *daylight;
    crt_long *dst_bias;
    char **time_names; /* two */
    unsigned char *mbctype, *mbcasemap;
};
extern struct crt_data crt_data;

/* Readies the standard streams; idempotent. */
void crt_data_init(void);
/* _fmode: 0, CRT_O_TEXT or CRT_O_BINARY. */
int crt_default_mode(void);

/* The attach callbacks of the modules. */
void crt_data_attach_msvcrt(void);
void crt_data_attach_ucrt(void);

#endif
