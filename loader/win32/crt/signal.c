/*
 * signal() and raise() with Windows's numbers, within the process.
 */
#include "loader/ke/ke.h"
#include "loader/state.h"
#include "loader/win32/crt/startup.h"

typedef void(WINCDECL *handler)(int number);

/* SIG_DFL, SIG_IGN, SIG_GET, SIG_SGE, SIG_ACK, SIG_ERR */
enum { DEFAULT = 0, IGNORE = 1, QUERY = 2, ACKNOWLEDGE = 4 };
#define FAILED ((handler)(intptr_t)-1)

static const int numbers[] = {2,  4,  6,  8,
                              11, 15, 21, 22}; /* INT ILL ABRT FPE SEGV TERM BREAK ABRT */
static handler handlers[CRT_COUNT(numbers)] IMAGE_STATE;

static handler *slot_of(int number)
{
    number = number == 6 ? 22 : number; /* SIGABRT_COMPAT */
    for (size_t i = 0; i < CRT_COUNT(numbers); i++) {
        if (numbers[i] == number) {
            return &handlers[i];
        }
    }
    return NULL;
}

int crt_raise(int number)
{
    handler *slot = slot_of(number);
    if (slot == NULL) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    handler function = *slot;
    if ((intptr_t)function == IGNORE) {
        return 0;
    }
    if ((intptr_t)function == DEFAULT) {
        ke_process_exit(3);
    }
    *slot = NULL; /* one shot */
    function(number);
    return 0;
}

static WINCDECL_DEF int crt_raise_signal(int number)
{
    return crt_raise(number);
}

static WINCDECL_DEF handler crt_signal(int number, handler function)
{
    handler *slot = slot_of(number);
    if (slot == NULL || (intptr_t)function == ACKNOWLEDGE) {
        crt_invalid(CRT_EINVAL);
        return FAILED;
    }
    handler old = *slot;
    if ((intptr_t)function != QUERY) {
        *slot = function;
    }
    return old;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(signal),
    CRT_AS(raise, crt_raise_signal),
};
CRT_FAMILY(crt_signal_family, functions);
