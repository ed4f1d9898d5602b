/* The control socket, both ends in one process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fs/ctl/ctl.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"

#include <cmocka.h>

enum { MANY = 100000, DEADLINE_MS = 30000 };

struct place {
	char *dir, *path;
};

static int set_up(void **state)
{
	struct place *p = g_new0(struct place, 1);

	p->dir = g_dir_make_tmp("ctl-XXXXXX", NULL);
	p->path = g_build_filename(p->dir, "below", "s", NULL);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	g_autofree char *below = g_path_get_dirname(p->path);
	int r;

	unlink(p->path);
	rmdir(below);
	r = rmdir(p->dir);
	g_free(p->path);
	g_free(p->dir);
	g_free(p);
	return r;
}

/* "many": MANY lines; "nothing": none; "endless": until the client is gone;
 * else the request itself. */
static void answer(void *ctx, struct ctl_conn *conn, const char *line)
{
	(void)ctx;
	if (!strcmp(line, "many"))
		for (int i = 0; i < MANY; i++) {
			char text[32];

			snprintf(text, sizeof(text), "%d", i);
			ctl_send(conn, text);
		}
	else if (!strcmp(line, "endless"))
		while (ctl_send(conn, "more"))
			;
	else if (strcmp(line, "nothing"))
		ctl_send(conn, line);
	ctl_finish(conn);
}

static struct ctl_server *serve(const struct place *p)
{
	static const struct ctl_handler handler = { .request = answer };
	struct ctl_server *s = ctl_server_start(p->path, &handler, NULL);

	assert_non_null(s);
	return s;
}

static struct ctl_client *ask(const struct place *p, const char *request)
{
	struct ctl_client *c = ctl_connect(p->path, NULL);

	assert_non_null(c);
	assert_int_equal(ctl_request(c, request, NULL), 0);
	return c;
}

static void check_end(struct ctl_client *c)
{
	g_autoptr(GError) why = NULL;

	assert_null(ctl_receive(c, DEADLINE_MS, &why));
	assert_null(why);
	ctl_client_free(c);
}

static void answers(void **state)
{
	struct ctl_server *s = serve(*state);
	struct ctl_client *c = ask(*state, "{\"command\": \"status\"}");
	g_autofree char *line = ctl_receive(c, DEADLINE_MS, NULL);

	assert_string_equal(line, "{\"command\": \"status\"}");
	check_end(c);
	check_end(ask(*state, "nothing"));
	ctl_server_stop(s);
}

static void answers_at_length(void **state)
{
	g_autofree char *longest = g_strnfill(3 << 20, 'x');
	struct ctl_server *s = serve(*state);
	struct ctl_client *c = ask(*state, "many");

	for (int i = 0; i < MANY; i++) {
		g_autofree char *line = ctl_receive(c, DEADLINE_MS, NULL);

		assert_non_null(line);
		assert_int_equal(g_ascii_strtoll(line, NULL, 10), i);
	}
	check_end(c);
	c = ask(*state, longest);
	g_autofree char *back = ctl_receive(c, DEADLINE_MS, NULL);

	assert_string_equal(back, longest);
	check_end(c);
	ctl_server_stop(s);
}

/* Who goes away ends what is done for him; stopping waits for that. */
static void clients_that_leave(void **state)
{
	struct ctl_server *s = serve(*state);
	struct ctl_client *c = ctl_connect(((struct place *)*state)->path, NULL);

	ctl_client_free(c);
	c = ask(*state, "endless");
	g_free(ctl_receive(c, DEADLINE_MS, NULL));
	ctl_client_free(c);
	ctl_server_stop(s);
	assert_int_equal(access(((struct place *)*state)->path, F_OK), -1);
}

static void is_private(void **state)
{
	const struct place *p = *state;
	g_autofree char *below = g_path_get_dirname(p->path);
	struct ctl_server *s = serve(p);
	struct stat st;

	assert_int_equal(stat(p->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(below, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	ctl_server_stop(s);
}

/* A listening socket at P, as a killed or another program leaves it. */
static int listen_at(const struct place *p)
{
	g_autofree char *below = g_path_get_dirname(p->path);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	g_mkdir_with_parents(below, 0700);
	g_strlcpy(addr.sun_path, p->path, sizeof(addr.sun_path));
	assert_int_equal(
		bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void replaces_only_the_dead(void **state)
{
	static const struct ctl_handler handler = { .request = answer };
	g_autoptr(GError) why = NULL;
	struct ctl_server *s;

	close(listen_at(*state));
	s = serve(*state);
	assert_null(ctl_server_start(
		((struct place *)*state)->path, &handler, &why));
	assert_non_null(strstr(why->message, "another process answers"));
	check_end(ask(*state, "nothing"));
	ctl_server_stop(s);
}

/* Somebody else at the socket: says TEXT to the first who comes, and goes. */
struct stranger {
	int listen_fd;
	const char *text;
	size_t len;
};

static void *speak(void *arg)
{
	const struct stranger *s = arg;
	autofd int fd = accept(s->listen_fd, NULL, NULL);

	io_write_full(fd, s->text, s->len);
	return NULL;
}

/* The message that connecting to a stranger fails with; g_free it. */
static char *connect_to(const struct place *p, const char *text, size_t len)
{
	struct stranger s = {
		.listen_fd = listen_at(p), .text = text, .len = len,
	};
	GThread *t = g_thread_new("stranger", speak, &s);
	g_autoptr(GError) why = NULL;

	assert_null(ctl_connect(p->path, &why));
	g_thread_join(t);
	close(s.listen_fd);
	unlink(p->path);
	assert_non_null(why);
	return g_strdup(why->message);
}

static void strangers_are_refused(void **state)
{
	g_autofree char *newer = connect_to(*state, "sandmount 2\n", 12);
	g_autofree char *mute = connect_to(*state, "", 0);
	g_autofree char *binary = connect_to(*state, "\0\0\0\n", 4);

	assert_non_null(strstr(newer, "\"sandmount 2\""));
	assert_non_null(strstr(newer, "\"sandmount 1\""));
	assert_non_null(strstr(mute, "nobody answers"));
	assert_non_null(strstr(binary, "no text"));
}

static void nobody_there(void **state)
{
	static const struct ctl_handler handler = { .request = answer };
	g_autofree char *name = g_strnfill(200, 'n');
	g_autofree char *longer =
		g_build_filename(((struct place *)*state)->dir, name, NULL);
	g_autoptr(GError) none = NULL;
	g_autoptr(GError) too_long = NULL;

	assert_null(ctl_connect(((struct place *)*state)->path, &none));
	assert_true(g_error_matches(none, FAIL, FAIL_UNAVAILABLE));
	assert_null(ctl_connect(longer, NULL));
	assert_null(ctl_server_start(longer, &handler, &too_long));
	assert_non_null(strstr(too_long->message, "XDG_RUNTIME_DIR"));
	ctl_server_stop(NULL);
	ctl_client_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			answers_at_length, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			clients_that_leave, set_up, tear_down),
		cmocka_unit_test_setup_teardown(is_private, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			replaces_only_the_dead, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			strangers_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			nobody_there, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
