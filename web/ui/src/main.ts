import { mount } from 'svelte';
import './app.css';
import { readAnswers } from '$lib/api/first';
import { router } from '$lib/router.svelte';
import { sessionOf } from '$lib/route';
import { session } from '$lib/state/session.svelte';
import App from './App.svelte';

readAnswers(document.getElementById('first-answers'));
// What is known of the session is there before anything is drawn.
const id = sessionOf(router.current);
if (id) session.open(id);
mount(App, { target: document.getElementById('app')! });
