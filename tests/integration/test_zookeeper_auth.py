#!/usr/bin/env python3
"""Credentials for ZooKeeper and the ACLs of what is made with them, and a
folder in the connect string that is not there."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

DS = "wikipedia"
AUTH = {"zookeeper.auth.scheme": "digest",
        "zookeeper.auth.credentials": "tranq:secret"}


class AuthCase(drill.ZooKeeperCase):
    def setUp(self):
        super().setUp()
        # whoever makes a folder owns it
        self.paths["zookeeper.path"] = f"/{self.id()}/beams"

    def acl(self, node, credentials="tranq:secret"):
        return self.zk.shell(f"addauth digest {credentials}",
                             f"getAcl {node}")

    def server(self, name="tranqd", connect=None, **properties):
        return self.tranqd(drill.config(
            [DS], None, connect or self.zk.connect, properties={
                "zookeeper.timeout": "PT2S", **self.paths, **properties}),
            name=name)

    def notes(self, server):
        return "\n".join(server.data_source(DS)["beams"]["notes"])

    def await_note(self, server, *parts):
        def is_there():
            text = self.notes(server)
            for part in parts:
                assert part in text, text
            return True
        wait_for(is_there, "the status tells of it")


class TestCredentials(AuthCase):
    def test_nodes_are_ours_alone(self):
        one = self.server("one", **AUTH)
        mine = harness.events(100, run="one")
        one.post(DS, mine)
        self.check_ids(self.druid, DS, drill.ids(mine))
        path = self.paths["zookeeper.path"]
        for node in (path, f"{path}/druid:overlord/{DS}/data"):
            acl = self.acl(node)
            self.assertIn("'digest,'tranq:", acl)
            self.assertIn("cdrwa", acl)
            self.assertIn("Insufficient permission",
                          self.zk.shell(f"getAcl {node}"))
            self.assertNotIn("world", acl)
        # the same credentials: one set of tasks
        two = self.server("two", **AUTH)
        others = harness.events(100, run="two")
        two.post(DS, others)
        self.check_ids(self.druid, DS, drill.ids(mine + others))
        tasks = self.druid.stats()["dataSources"][DS]["tasks"]
        self.assertEqual(len(tasks), 1, tasks)
        for server in (one, two):
            self.check_whole(server, self.druid)
            self.assertEqual(self.notes(server), "")

    def test_a_stranger(self):
        """He is told, his events wait, and get through when he is let in."""
        one = self.server("one", **AUTH)
        mine = harness.events(10, run="one")
        one.post(DS, mine)
        for wrong in ({}, dict(AUTH, **{
                "zookeeper.auth.credentials": "tranq:wrong"})):
            with self.subTest(wrong):
                name = f"stranger-{len(wrong)}"
                stranger = self.server(name, **wrong)
                others = harness.events(10, run=name)
                self.assertEqual(
                    stranger.post(DS, others, is_async=True).status, 200)
                self.await_note(stranger, "access is denied",
                                "zookeeper.auth.credentials",
                                self.paths["zookeeper.path"])
                self.assertIn("access is denied", stranger.log())
                self.assertEqual(stranger.accounts(DS)["spool"], 10)
                stranger.document["properties"].update(AUTH)
                self.assertTrue(stranger.reload(stranger.document)[0])
                mine += others
                self.check_ids(self.druid, DS, drill.ids(mine))
                wait_for(lambda: self.notes(stranger) == "", "all is well")

    def test_secret(self):
        """It is shown nowhere."""
        secret = os.path.join(self.folder, "secret")
        with open(secret, "w") as f:
            f.write("tranq:hidden-word\n")
        server = self.server(**{
            "zookeeper.auth.scheme": "digest",
            "zookeeper.auth.credentials": "${file:%s}" % secret})
        events = harness.events(10)
        server.post(DS, events)
        self.check_ids(self.druid, DS, drill.ids(events))
        shown = harness.run_program("tranqd", "config", "-c",
                                    server.config_file)
        for text in (shown.stdout, server.log(), server.control("status")[2]
                     .decode()):
            self.assertNotIn("hidden-word", text)
        self.assertIn("'digest,'tranq:", self.acl(
            self.paths["zookeeper.path"], "tranq:hidden-word"))

    def test_unknown_scheme(self):
        server = self.server(**{"zookeeper.auth.scheme": "nonsense",
                                "zookeeper.auth.credentials": "x"})
        server.post(DS, harness.events(10), is_async=True)
        self.await_note(server, "zookeeper.auth.scheme 'nonsense'",
                        "not accepted")
        self.assertEqual(server.accounts(DS)["spool"], 10)

    def test_checked(self):
        for properties, wanted in (
                ({"zookeeper.auth.scheme": "digest"}, "one is missing"),
                ({"zookeeper.auth.credentials": "a:b"}, "one is missing"),
                (dict(AUTH, **{"zookeeper.auth.credentials": "ab"}),
                 "has no colon")):
            server = self.tranqd(drill.config(
                [DS], None, self.zk.connect, properties=properties),
                start=False, name="checked")
            server.write()
            done = harness.run_program("tranqd", "check", "-c",
                                       server.config_file)
            self.assertEqual(done.returncode, 78)
            self.assertIn(wanted, done.stderr)


class TestFolder(AuthCase):
    """host:port/folder, ZooKeeper's chroot."""

    def test_missing_then_there(self):
        folder = "/tranq-" + str(os.getpid())
        server = self.server(connect=self.zk.connect + folder, **{
            "druid.overlord.url": self.druid.url})
        events = harness.events(10)
        server.post(DS, events, is_async=True)
        self.await_note(server, f"the folder {folder} of zookeeper.connect",
                        "does not exist")
        self.zk.shell(f"create {folder}")
        self.check_ids(self.druid, DS, drill.ids(events))
        wait_for(lambda: self.notes(server) == "", "all is well")
        path = self.paths["zookeeper.path"]
        self.assertIn("druid:overlord",
                      self.zk.shell(f"ls {folder}{path}"))


if __name__ == "__main__":
    drill.main()
