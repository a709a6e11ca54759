/*
 * The thirty-two names of _spawn and _exec: l or v (arguments as a list or an array), p (PATH is
 * searched), e (environment), narrow or wide.
 */
#include "loader/win32/crt/spawn.h"

enum { CRT_E2BIG = 7, MAX_ARGUMENTS = 4096 };

/* The rest of an argument list up to its NULL, and the pointer behind that. */
static bool collect(const void *first, win_va_list *more, const void **out, bool environment,
                    const void **behind)
{
    size_t count = 0;
    *behind = NULL;
    for (const void *at = first; at != NULL; at = __builtin_va_arg(*more, const void *)) {
        if (count == MAX_ARGUMENTS) {
            crt_set_errno(CRT_E2BIG);
            return false;
        }
        out[count++] = at;
    }
    out[count] = NULL;
    if (environment) {
        *behind = __builtin_va_arg(*more, const void *);
    }
    return true;
}

/* Arrays: v and ve. `mode_parameter` is "int mode," or nothing. */
#define ARRAY_FORMS(fn, mode_parameter, mode, search, chars, spawn)             \
    static WINCDECL_DEF intptr_t crt__##fn(mode_parameter const chars *name,    \
                                           const chars *const *arguments)       \
    {                                                                           \
        return spawn(mode, search, name, arguments, NULL);                      \
    }                                                                           \
    static WINCDECL_DEF intptr_t crt__##fn##e(mode_parameter const chars *name, \
                                              const chars *const *arguments,    \
                                              const chars *const *environment)  \
    {                                                                           \
        return spawn(mode, search, name, arguments, environment);               \
    }

/* Lists: l and le. */
#define LIST_FORM(fn, mode_parameter, mode, search, chars, spawn, has_environment)               \
    static WINCDECL_DEF intptr_t crt__##fn(mode_parameter const chars *name, const chars *first, \
                                           ...)                                                  \
    {                                                                                            \
        const void *arguments[MAX_ARGUMENTS + 1], *behind;                                       \
        win_va_list more;                                                                        \
        win_va_start(more, first);                                                               \
        bool ok = collect(first, &more, arguments, has_environment, &behind);                    \
        win_va_end(more);                                                                        \
        return ok ? spawn(mode, search, name, (const chars *const *)arguments,                   \
                          (const chars *const *)behind)                                          \
                  : -1;                                                                          \
    }

#define MODE int mode,
#define FORMS(w, chars, spawn)                                       \
    ARRAY_FORMS(w##spawnv, MODE, mode, false, chars, spawn)          \
    ARRAY_FORMS(w##spawnvp, MODE, mode, true, chars, spawn)          \
    ARRAY_FORMS(w##execv, , CRT_P_OVERLAY, false, chars, spawn)      \
    ARRAY_FORMS(w##execvp, , CRT_P_OVERLAY, true, chars, spawn)      \
    LIST_FORM(w##spawnl, MODE, mode, false, chars, spawn, false)     \
    LIST_FORM(w##spawnle, MODE, mode, false, chars, spawn, true)     \
    LIST_FORM(w##spawnlp, MODE, mode, true, chars, spawn, false)     \
    LIST_FORM(w##spawnlpe, MODE, mode, true, chars, spawn, true)     \
    LIST_FORM(w##execl, , CRT_P_OVERLAY, false, chars, spawn, false) \
    LIST_FORM(w##execle, , CRT_P_OVERLAY, false, chars, spawn, true) \
    LIST_FORM(w##execlp, , CRT_P_OVERLAY, true, chars, spawn, false) \
    LIST_FORM(w##execlpe, , CRT_P_OVERLAY, true, chars, spawn, true)

FORMS(, char, crt_spawn_narrow)
FORMS(w, crt_wchar, crt_spawn_wide)

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_spawnv),  CRT_FN(_spawnve),  CRT_FN(_spawnvp),  CRT_FN(_spawnvpe),  CRT_FN(_spawnl),
    CRT_FN(_spawnle), CRT_FN(_spawnlp),  CRT_FN(_spawnlpe), CRT_FN(_execv),     CRT_FN(_execve),
    CRT_FN(_execvp),  CRT_FN(_execvpe),  CRT_FN(_execl),    CRT_FN(_execle),    CRT_FN(_execlp),
    CRT_FN(_execlpe), CRT_FN(_wspawnv),  CRT_FN(_wspawnve), CRT_FN(_wspawnvp),  CRT_FN(_wspawnvpe),
    CRT_FN(_wspawnl), CRT_FN(_wspawnle), CRT_FN(_wspawnlp), CRT_FN(_wspawnlpe), CRT_FN(_wexecv),
    CRT_FN(_wexecve), CRT_FN(_wexecvp),  CRT_FN(_wexecvpe), CRT_FN(_wexecl),    CRT_FN(_wexecle),
    CRT_FN(_wexeclp), CRT_FN(_wexeclpe),
};
CRT_FAMILY(crt_spawn_family, functions);
