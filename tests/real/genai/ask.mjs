// Has Google's SDK ask for videos; run it where its packages are. Reads a list of
// {"sdk":"genai-3","options":{…},"call":"videos","request":{…}} from the standard input and makes
// each call in turn; options are the client's, and its "token" stands for a fetched one.
// Writes a list of what came of them: "", or the error.
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';

const require = createRequire(`${process.cwd()}/`);
const {OAuth2Client} = require('google-auth-library');

function client(sdk, {token, ...options}) {
  if (token) {
    const authClient = new OAuth2Client();
    authClient.setCredentials({access_token: token, expiry_date: Date.now() + 3600000});
    options.googleAuthOptions = {authClient};
  }
  return new (require(sdk).GoogleGenAI)(options);
}

async function ask({sdk, options, call, request}) {
  const ai = client(sdk, options);
  if (call === 'interactions') {
    await ai.interactions.create(request);
  } else {
    await ai.models.generateVideos(request);
  }
}

const outcomes = [];
for (const question of JSON.parse(readFileSync(0, 'utf8'))) {
  outcomes.push(await ask(question).then(() => '', (error) => String(error)));
}
console.log(JSON.stringify(outcomes));
