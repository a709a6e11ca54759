/*
 * The public API: a process that an image has created (loader/peldr.h, loader/win32/child.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ke/suspend.h"
#include "loader/ldr/ldr.h"
#include "loader/ob/process.h"
#include "loader/peldr_api.h"
#include "loader/win32/child.h"
#include "loader/win32/process.h"

/* What CreateProcess was given, where images and other processes look for it. */
static nt_status show(const struct child_letter *letter, struct pe_error *err)
{
    struct ke_start process = {
        .command_line = child_letter_text(letter, CHILD_LINE),
        .desktop = child_letter_text(letter, CHILD_DESKTOP),
        .title = child_letter_text(letter, CHILD_TITLE),
        .runtime_data = child_letter_text(letter, CHILD_RUNTIME),
    };
    memcpy(process.look, letter->look.look, sizeof process.look);
    nt_status status = ke_process_set_start(letter->texts[CHILD_IMAGE].bytes, &process, err);
    win32_environment_install(); /* the new block of parameters shows it, too */
    return status;
}

/* What the parent waits for. Whoever resumes the thread finds it suspended. */
static nt_status begin(int socket, struct child_letter *letter)
{
    struct pe_error *err;
    nt_status status = peldr_enter_for_program(&err);
    if (nt_ok(status)) {
        status = child_arrive(socket, letter, err);
    }
    if (nt_ok(status)) {
        status = show(letter, err);
    }
    if (nt_ok(status) && (letter->look.flags & CHILD_SUSPENDED)) {
        ke_suspend_begin();
    }
    if (nt_ok(status)) {
        status = ob_service_start(err); /* last: others may add handles from now on */
    }
    child_report(socket, status);
    return status;
}

/* As on Windows a suspended process looks for its DLLs when its thread is resumed. */
static void wait_for_resume(void)
{
    struct ke_context initial = {0};
    if (!ke_suspend_at_start(ke_current->object, &initial)) {
        ke_process_terminate(ke_current->object->end_code);
    }
}

static nt_status start(const char *path, peldr_module **out, struct pe_error *err)
{
    struct ldr_load_options options = {.name = path, .flags = LDR_EXE};
    nt_status status = ldr_load(&options, out, err);
    if (nt_ok(status)) {
        ke_process_show_image(ldr_module_base(*out));
        status = peldr_start_program(*out, err);
    }
    return status;
}

int peldr_run_child(int socket)
{
    struct child_letter letter;
    peldr_module *exe = NULL;
    if (peldr_result(begin(socket, &letter)) != 0) {
        return -1;
    }
    wait_for_resume();
    struct pe_error *err = peldr_begin();
    nt_status status = start(letter.texts[CHILD_IMAGE].bytes, &exe, err);
    child_letter_free(&letter);
    if (peldr_result(status) != 0) {
        fprintf(stderr, "peldr: %s\n", peldr_error());
        ke_process_terminate(status);
    }
    uint32_t code = peldr_run_program(exe);
    fflush(NULL);
    exit(ke_process_exit_status(code));
}
