#include "merge/lib/fail.h"

#include <errno.h>
#include <stdarg.h>

G_DEFINE_QUARK(sandmount-fail, fail)

int fail_errno(GError **err, int neg_errno, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	g_autofree char *what = g_strdup_vprintf(fmt, args);
	va_end(args);
	g_set_error(err, FAIL, FAIL_LOCAL, "%s: %s", what,
		g_strerror(-neg_errno));
	return neg_errno;
}

int fail(GError **err, enum fail_code code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	g_autofree char *text = g_strdup_vprintf(fmt, args);
	va_end(args);
	g_set_error_literal(err, FAIL, (gint)code, text);
	return code == FAIL_USAGE ? -EINVAL : -EIO;
}
