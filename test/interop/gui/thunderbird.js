// What the test's scripts share. They run with the rights of the program, in its main window or one that it opened.
const {MailServices} = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const main = Services.wm.getMostRecentWindow("mail:3pane");
const pane = () => main.document.getElementById("tabmail").currentAbout3Pane;

// until waits until ok() is something, at most 30 seconds, and returns that.
async function until(what, ok) {
  for (const end = Date.now() + 30000; Date.now() < end; await new Promise(wake => main.setTimeout(wake, 10))) {
    const value = await ok();
    if (value) {
      return value;
    }
  }
  throw new Error("waited in vain for " + what + "; status: " + main.document.getElementById("statusText").value);
}

const account = user => MailServices.accounts.allServers.find(server => server.type == "imap" && server.username == user);

const folders = user => account(user).rootFolder.descendants;

const folder = (user, name) => until(name + " of " + user, () => folders(user).find(f => f.name == name));

// index is the place of the message with a subject in the list on the screen, or -1.
function index(subject) {
  const {gDBView: view} = pane();
  for (let i = 0; view && i < view.rowCount; i++) {
    if (view.getMsgHdrAt(i).mime2DecodedSubject == subject) {
      return i;
    }
  }
  return -1;
}

// row is the element of the list that shows the message with a subject.
const row = subject => until(subject + " in the list", () => {
  const found = index(subject) >= 0 && pane().threadTree.getRowAtIndex(index(subject));
  return found && found.textContent.includes(subject) && found;
});

// id is the element of the window that the test is in.
const id = name => window.document.getElementById(name);

// middle is where an element is in its window.
function middle(element) {
  const box = element.getBoundingClientRect(), view = element.ownerDocument.defaultView, top = view.browsingContext.topChromeWindow;
  return [view.mozInnerScreenX - top.mozInnerScreenX + box.x + box.width / 2, view.mozInnerScreenY - top.mozInnerScreenY + box.y + box.height / 2].map(Math.round);
}

// remember keeps the password of both users for reading and sending.
async function remember(password) {
  for (const origin of ["imap://localhost", "smtp://localhost"]) {
    for (const user of ["alice", "bob"]) {
      const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
      login.init(origin, null, origin, user, password, "", "");
      await Services.logins.addLoginAsync(login);
    }
  }
}

// paint waits until what has changed is on the screen.
async function paint() {
  for (let frame = 0; frame < 3; frame++) {
    await new Promise(main.requestAnimationFrame);
  }
}

// expand opens an account, which asks the server for its folders.
async function expand(user) {
  account(user).performExpand(main.msgWindow);
  await folder(user, "INBOX");
}

async function create(user, name) {
  account(user).rootFolder.createSubfolder(name, main.msgWindow);
  await folder(user, name);
}

// show has the list show a folder.
async function show(user, name) {
  const wanted = await folder(user, name);
  pane().displayFolder(wanted);
  await until("the list of " + name, () => pane().gDBView?.msgFolder == wanted);
}

// move does what the menu does with the message that is shown.
async function move(user, name) {
  pane().commandController.doCommand("cmd_moveMessage", await folder(user, name));
}

// shown waits five seconds for the message with a subject, and a line of its text, to be shown.
async function shown(subject, line) {
  for (const end = Date.now() + 5000; Date.now() < end; await new Promise(wake => main.setTimeout(wake, 10))) {
    const message = pane().messageBrowser.contentWindow;
    if (message.gMessage?.mime2DecodedSubject == subject && message.getMessagePaneBrowser().contentDocument.body?.innerText.split("\n").some(l => l.trim() == line)) {
      return true;
    }
  }
  return false;
}

// marked waits until the list shows a mark at the message with a subject.
async function marked(subject, mark) {
  await until(mark + " at " + subject, async () => (await row(subject)).dataset.properties.split(" ").includes(mark));
}

// writing waits for the window to write in to take keys.
async function writing() {
  await until("the window to write in", () => {
    const window = Services.wm.getMostRecentWindow("msgcompose");
    return window?.document.readyState == "complete" && window.gMsgCompose?.editor && window.document.activeElement?.id;
  });
}
