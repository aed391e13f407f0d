"""A real browser, driven from the outside: Debian's Chromium and its driver."""

import json
import os
import shutil
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WAIT_S = 60


def absent():
    """Say what to do where there is no browser."""
    if CHROMIUM is None or DRIVER is None:
        return "no Chromium: apt-get install chromium chromium-driver"
    return None


def start():
    """Start a browser without a window and without a network."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--window-size=1280,900",
        # Chromium's sandbox refuses root, whom containers often run as.
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # The path is given, so that nothing is looked for or fetched.
    return webdriver.Chrome(options=options, service=Service(DRIVER))


class Page:
    """An audit page in the browser, and what one does with it."""

    def __init__(self, driver):
        self.driver = driver
        self.cdp = driver.execute_cdp_cmd
        self.script = driver.execute_script

    def open(self, path: Path, address=""):
        """Load a page from its file, with the network off and no memory of earlier pages."""
        self.driver.get("about:blank")
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.cdp("Network.enable", {})
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        self.cdp("Network.emulateNetworkConditions", offline)
        self.driver.get(path.resolve().as_uri() + address)
        self.until("return 'ready' in document.documentElement.dataset")
        return self

    def until(self, condition):
        return WebDriverWait(self.driver, WAIT_S, poll_frequency=0.05).until(
            lambda _: self.script(condition)
        )

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.one(selector).text

    def texts(self, selector):
        """Text of many elements, in one question to the browser."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
        return self.script(script, selector)

    def keys(self, *keys):
        """Press keys wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def with_control(self, key):
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys(key).key_up(
            Keys.CONTROL
        ).perform()

    def focused(self, attribute):
        return self.script(f"return document.activeElement?.dataset.{attribute}")

    def number(self, name):
        """The number of a cell, by the cell's name."""
        index = self.script(
            "return DATA.cells.findIndex(cell => cellName(cell) === arguments[0])", name
        )
        return self.one(f"[data-cell='{index}']")

    def open_number(self, name):
        self.number(name).click()
        self.until("return document.getElementById('panel').open")

    def search(self, words):
        """Look for something as if typed; return the names of the numbers that are left."""
        self.empty("#search")
        self.keys(words)
        return self.shown()

    def empty(self, selector):
        """Go to a field and take out what is in it."""
        self.one(selector).click()
        self.with_control("a")
        self.keys(Keys.BACKSPACE)

    def shown(self):
        """Names of the numbers that can be seen, from what the browser lays out."""
        return self.script(
            "return [...document.querySelectorAll('[data-cell]')]"
            ".filter(e => e.checkVisibility({visibilityProperty: true}))"
            ".map(e => cellName(DATA.cells[e.dataset.cell]))"
        )

    def choose(self, selector, value):
        self.script(
            "const s = document.querySelector(arguments[0]); s.value = arguments[1];"
            "s.dispatchEvent(new Event('input', {bubbles: true}))", selector, value,
        )  # fmt: skip

    def paste(self):
        """Return what is in the clipboard, by pasting it."""
        self.empty("#search")
        self.with_control("v")
        return self.one("#search").get_property("value")

    def requests(self):
        """Addresses that were asked for since the page was opened."""
        events = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self):
        """Whatever the console said since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def media(self, media="", **features):
        """Pretend to be a printer, or somebody with other preferences."""
        named = [{"name": n.replace("_", "-"), "value": v} for n, v in features.items()]
        self.cdp("Emulation.setEmulatedMedia", {"media": media, "features": named})

    def resize(self, width, height):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.cdp("Emulation.setDeviceMetricsOverride", metrics)
